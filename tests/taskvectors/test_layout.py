import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distmerge.models import Tower, tower_shapes
from distmerge.models.foreign.named import tower_of_model
from distmerge.taskvectors import Grouping, Groups, Layout, Segment, last_layer, merge_groups
from tests.towers import RESNET
from tests.world import TOWER

SHAPES = st.dictionaries(
    st.text(min_size=1, max_size=4),
    st.lists(st.integers(1, 4), max_size=3).map(torch.Size),
    min_size=1,
    max_size=5,
)


@pytest.fixture(scope="module")
def layout() -> Layout:
    return Layout.of(Tower(TOWER).shapes)


def test_segments_follow_the_order_of_the_shapes() -> None:
    layout = Layout.of({"b": torch.Size([2, 3]), "a": torch.Size([]), "c": torch.Size([4])})
    assert layout.segments == (
        Segment("b", 0, (2, 3)),
        Segment("a", 6, ()),
        Segment("c", 7, (4,)),
    )
    assert [segment.stop for segment in layout.segments] == [6, 7, 11]
    assert layout.num_parameters == 11


@given(SHAPES)
def test_flattening_and_unflattening_give_the_state_back(shapes: dict[str, torch.Size]) -> None:
    layout = Layout.of(shapes)
    state = {name: torch.rand(shape) for name, shape in shapes.items()}
    back = layout.unflatten(layout.flatten(dict(reversed(state.items()))))
    assert list(back) == list(shapes)
    assert all(torch.equal(back[name], state[name]) for name in shapes)


@given(SHAPES)
def test_segments_cover_the_vector_without_gap_or_overlap(shapes: dict[str, torch.Size]) -> None:
    layout = Layout.of(shapes)
    places = [i for segment in layout.segments for i in range(segment.start, segment.stop)]
    assert places == list(range(layout.num_parameters))


def test_a_flat_vector_is_float32_whatever_the_checkpoint_holds() -> None:
    layout = Layout.of({"a": torch.Size([2])})
    assert layout.flatten({"a": torch.ones(2, dtype=torch.bfloat16)}).dtype == torch.float32


def test_gradients_flow_through_the_named_views() -> None:
    layout = Layout.of({"a": torch.Size([2]), "b": torch.Size([1, 1])})
    flat = torch.zeros(3, requires_grad=True)
    state = layout.unflatten(flat)
    (2 * state["a"].sum() + 5 * state["b"].sum()).backward()
    assert flat.grad is not None
    assert flat.grad.tolist() == [2.0, 2.0, 5.0]


def test_per_tensor_groups_are_the_tensors(layout: Layout) -> None:
    groups = merge_groups(layout, "per_tensor")
    assert groups.names == tuple(segment.name for segment in layout.segments)
    assert groups.index.tolist() == list(range(len(layout.segments)))


def test_there_is_one_global_group(layout: Layout) -> None:
    groups = merge_groups(layout, "global")
    assert groups.names == ("all",)
    assert set(groups.index.tolist()) == {0}


def test_per_block_groups_are_stem_blocks_and_final(layout: Layout) -> None:
    groups = merge_groups(layout, "per_block")
    assert groups.names == ("stem", "block.0", "block.1", "final")
    members = {
        name: [s.name for s, i in zip(layout.segments, groups.index, strict=True) if i == number]
        for number, name in enumerate(groups.names)
    }
    assert "conv1.weight" in members["stem"]
    assert members["final"] == ["ln_post.weight", "ln_post.bias"]
    assert [len(names) for names in members.values()] == [6, 12, 12, 2]


@pytest.mark.parametrize(
    "name", ["transformer.resblocks.11.ln_1.weight", "encoder.layers.11.fc.bias", "blocks.11.w"]
)
def test_blocks_are_recognised_in_the_names_of_several_libraries(name: str) -> None:
    layout = Layout.of({"conv1.weight": torch.Size([1]), name: torch.Size([1])})
    assert merge_groups(layout, "per_block").names == ("stem", "block.11")


def test_a_resnet_has_a_stem_four_blocks_and_an_end() -> None:
    layout = Layout.of(Tower(RESNET).shapes)
    groups = merge_groups(layout, "per_block")
    assert groups.names == ("stem", *(f"block.{stage}" for stage in (1, 2, 3, 4)), "final")
    places = {s.name: groups.names[i] for s, i in zip(layout.segments, groups.index, strict=True)}
    assert places["bn1.running_var"] == "stem"
    assert places["layer2.0.downsample.0.weight"] == "block.2"
    assert places["attnpool.positional_embedding"] == "final"


@pytest.mark.parametrize(
    ("model", "blocks", "stem", "final"),
    [
        ("ViT-B-16-SigLIP", range(12), "patch_embed.proj.weight", "trunk.attn_pool.q.weight"),
        ("convnext_tiny", range(4), "trunk.stem.0.weight", "head.proj.weight"),
        ("swin_base_patch4_window7_224", range(4), "patch_embed.proj.weight", "head.proj.weight"),
        ("ViTamin-S", range(14), "stages.1.0.shortcut.expand.weight", "head.proj.weight"),
        ("EVA02-B-16", range(12), "trunk.pos_embed", "trunk.head.weight"),
    ],
)
def test_towers_of_timm_have_a_stem_their_blocks_and_an_end(
    model: str, blocks: range, stem: str, final: str
) -> None:
    layout = Layout.of({n: torch.Size(s) for n, s in tower_shapes(tower_of_model(model)).items()})
    groups = merge_groups(layout, "per_block")
    assert groups.names == ("stem", *(f"block.{number}" for number in blocks), "final")
    places = {s.name: groups.names[i] for s, i in zip(layout.segments, groups.index, strict=True)}
    assert {place for name, place in places.items() if name.endswith(stem)} == {"stem"}
    assert places[final] == "final"


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        ("mlp.c_fc", ["mlp.c_fc.weight", "mlp.c_fc.bias"]),
        ("attn.in_proj", ["attn.in_proj_weight", "attn.in_proj_bias"]),
        ("mlp.fc2", []),
    ],
)
def test_a_layer_is_found_in_the_last_block(layout: Layout, layer: str, names: list[str]) -> None:
    found = last_layer([segment.name for segment in layout.segments], layer)
    assert found == tuple(f"transformer.resblocks.1.{name}" for name in names)


@pytest.mark.parametrize("grouping", ["global", "per_block", "per_tensor"])
def test_gathering_is_the_gradient_of_spreading(layout: Layout, grouping: Grouping) -> None:
    groups = merge_groups(layout, grouping)
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(3, len(groups.names), generator=generator, dtype=torch.float64)
    weights = torch.rand(3, len(layout.segments), generator=generator, dtype=torch.float64)
    values.requires_grad_()
    (groups.spread(values) * weights).sum().backward()
    torch.testing.assert_close(groups.gather(weights), values.grad)


def test_spreading_repeats_and_gathering_sums() -> None:
    groups = Groups(("stem", "block.0"), torch.tensor([0, 0, 1]))
    assert groups.spread(torch.tensor([[1.0, 2.0]])).tolist() == [[1.0, 1.0, 2.0]]
    assert groups.gather(torch.tensor([[1.0, 2.0, 4.0]])).tolist() == [[3.0, 4.0]]
