from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from distmerge.models import initialised
from distmerge.models.linear import linear, with_linear

LARGE = (320, 256)  # oneDNN multiplies it
SMALL = (32, 24)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def gradients(layer: object, tensors: Sequence[Tensor | None]) -> list[Tensor]:
    leaves = [t if t is None else t.clone().requires_grad_() for t in tensors]
    out: Tensor = layer(*leaves)  # type: ignore[operator]  # a linear layer as a function
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return [out.detach(), *(t.grad for t in leaves if t is not None and t.grad is not None)]


@pytest.mark.parametrize("shape", [LARGE, SMALL], ids=["large", "small"])
@pytest.mark.parametrize("batch", [(5,), (2, 7), (2, 3, 4)])
@pytest.mark.parametrize("biased", [True, False])
def test_it_is_torchs_linear_with_its_gradients(
    shape: tuple[int, int], batch: tuple[int, ...], *, biased: bool
) -> None:
    outer, inner = shape
    bias = random(outer, seed=2) if biased else None
    tensors = (random(*batch, inner), random(outer, inner, seed=1), bias)
    found, expected = gradients(linear, tensors), gradients(functional.linear, tensors)
    assert len(found) == len(expected) == 3 + biased
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)


def test_tensors_that_lie_in_no_order_are_understood() -> None:
    inputs, weight = random(6, 2 * LARGE[1])[:, ::2], random(LARGE[1], 3, LARGE[0])[:, 1].mT
    torch.testing.assert_close(
        linear(inputs, weight), functional.linear(inputs, weight), rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_are_torchs(dtype: torch.dtype) -> None:
    inputs, weight = random(4, LARGE[1]).to(dtype), random(*LARGE).to(dtype)
    assert torch.equal(linear(inputs, weight), functional.linear(inputs, weight))


def test_a_gradient_that_is_one_number_everywhere_is_understood() -> None:
    weight = random(*LARGE).requires_grad_()
    linear(random(4, LARGE[1]), weight).sum().backward()  # expanded, without memory of its own
    expected = random(4, LARGE[1]).sum(dim=0).expand(LARGE)
    torch.testing.assert_close(weight.grad, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"need_weights": False, "attn_mask": None}])
@pytest.mark.parametrize("of_self", [True, False])
def test_attention_is_torchs(options: dict[str, None], *, of_self: bool) -> None:
    theirs, ours = (
        initialised(lambda: nn.MultiheadAttention(256, 4, batch_first=True), "test").eval()
        for _ in range(2)
    )
    with_linear(ours)
    query = random(2, 5, 256)
    key = query if of_self else random(2, 6, 256, seed=1)
    found = ours(query, key, key, **options)
    expected = theirs(query, key, key, **options)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_names_of_a_modules_tensors_stay() -> None:
    plain = nn.Sequential(nn.Linear(3, 2), nn.MultiheadAttention(4, 2))
    names = list(plain.state_dict())
    assert list(with_linear(plain).state_dict()) == names
    assert [type(part).__name__ for part in plain] == ["_LinearLayer", "_Attention"]
