"""Linear layers whose float32 products on a CPU are oneDNN's.

torch gives such products to MKL, which keeps to AVX2 on processors of other makers than Intel;
oneDNN uses what the processor has, and does torch's other products on a CPU anyway.
"""

from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import scaled_dot_product_attention

Built = TypeVar("Built", bound=nn.Module)
_LEAST = 1 << 16  # elements of a weight; below, starting oneDNN costs more than it saves


def linear(
    inputs: Float[Tensor, "... inner"],
    weight: Float[Tensor, "outer inner"],
    bias: Float[Tensor, " outer"] | None = None,
) -> Float[Tensor, "... outer"]:
    """Give ``inputs @ weight.T + bias``, differentiable once."""
    if weight.numel() < _LEAST or not _is_for_onednn(inputs, weight):
        return nn.functional.linear(inputs, weight, bias)
    # oneDNN has fast products of matrices that lie row by row or column by column, of no others.
    found: Tensor = _Linear.apply(inputs.contiguous(), weight.contiguous(), bias)
    return found


def self_attention(
    joined: Float[Tensor, "sample token three_widths"], heads: int
) -> Float[Tensor, "sample token width"]:
    """Give what tokens take from each other, from their queries, keys and values side by side."""
    by_head = joined.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    attended = scaled_dot_product_attention(by_head[0], by_head[1], by_head[2])
    return attended.transpose(1, 2).flatten(2)


def write_products(
    left: Float[Tensor, "batch row inner"],
    right: Float[Tensor, "batch inner column"],
    out: Float[Tensor, "batch row column"],
) -> None:
    """Write ``left @ right`` into ``out``, without a graph.

    On a CPU one product each by oneDNN is faster than a batch of them by MKL. Matrices of ``left``
    and ``right`` lie row by row or column by column.
    """
    if right[0].numel() < _LEAST or not _is_for_onednn(left, right):
        torch.bmm(left, right, out=out)
        return
    for place, one, other in zip(out, left, right, strict=True):
        place.copy_(_product(one, other.t()))


def with_linear(module: Built) -> Built:
    """Give the module, whose linear layers and self-attentions now call ``linear``."""
    for part in module.modules():
        if type(part) is nn.Linear:
            part.__class__ = _LinearLayer
        elif type(part) is nn.MultiheadAttention:
            part.__class__ = _Attention
    return module


class _LinearLayer(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        return linear(inputs, self.weight, self.bias)


class _Attention(nn.MultiheadAttention):
    def forward(self, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Any:  # type: ignore[override]  # the rest goes on
        plain = {"need_weights": False, "attn_mask": None}
        of_self = query is key is value and query.dim() == 3 and self.batch_first
        if not of_self or options != plain or self.training:
            return super().forward(query, key, value, **options)
        joined = linear(query, self.in_proj_weight, self.in_proj_bias)
        attended = self_attention(joined, self.num_heads)
        return linear(attended, self.out_proj.weight, self.out_proj.bias), None


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return _product(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        rows = gradient.flatten(0, -2)
        by_inputs, by_weight, by_bias = ctx.needs_input_grad
        return (
            _product(gradient, weight.t()) if by_inputs else None,
            _product(rows.t(), inputs.flatten(0, -2).t()) if by_weight else None,
            rows.sum(dim=0) if by_bias else None,
        )


def _is_for_onednn(*tensors: Tensor) -> bool:
    on_cpu = all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)
    return on_cpu and torch.backends.mkldnn.is_available()


def _product(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    found: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")  # noqa: SLF001  # torch has no other name for it
    return found
