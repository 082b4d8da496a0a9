import json
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch
from open_clip.transformer import VisionTransformer

from distmerge.coordinator import (
    coefficient_bytes,
    correction_bytes,
    head_bytes,
    is_routed,
    merged_bytes,
    own_bytes,
    recipe_bytes,
    router_bytes,
    vector_bytes,
)
from distmerge.methods.contract import MergedModel, Model
from distmerge.models import load_head, save_head
from distmerge.run import Session
from distmerge.spec import ModelFiles, Value
from distmerge.taskvectors import merge, task_vectors
from distmerge.tensorfiles import header_of
from tests.coordinator.sessions import config_of, learned_by, merged_by, session_of


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


@pytest.fixture(scope="module")
def plain(session: Session) -> MergedModel:
    return merged_by(session, config_of({"adamerging.steps": 3}, "adamerging")).model


@pytest.fixture(scope="module")
def corrected(session: Session) -> MergedModel:
    settings = {"surgery.steps": 20, "surgery.rank": 4}
    return merged_by(session, config_of(settings, "task_arithmetic", "surgery")).model


@pytest.fixture(scope="module")
def tinted(session: Session) -> MergedModel:
    return merged_by(session, config_of({"tinting.steps": 2}, "tinting")).model


@pytest.fixture(scope="module")
def routed(session: Session) -> Model:
    settings: dict[str, Value] = {
        "bd_merging.head_steps": 2,
        "bd_merging.warm_up": 2,
        "bd_merging.steps": 2,
        "bd_merging.hidden": 8,
    }
    return learned_by(session, config_of(settings, "bd_merging")).model


def test_a_recipe_and_the_checkpoints_give_the_merged_tower_bit_for_bit(
    session: Session, plain: MergedModel
) -> None:
    state = safetensors.torch.load(merged_bytes(recipe_bytes(plain), session.vectors, {}))
    expected = session.vectors.layout.unflatten(merge(session.vectors, plain.coefficients))
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_open_clip_loads_the_merged_tower_and_gives_its_features(
    session: Session, plain: MergedModel
) -> None:
    state = safetensors.torch.load(merged_bytes(recipe_bytes(plain), session.vectors, {}))
    visual = VisionTransformer(
        image_size=16, patch_size=8, width=16, layers=2, heads=2, mlp_ratio=4.0, output_dim=8
    ).eval()
    visual.load_state_dict(state, strict=True)
    images = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = visual(images)
    torch.testing.assert_close(found, plain.tower_features(images, "alpha"), rtol=0, atol=1e-6)


def test_a_recipe_is_small(corrected: MergedModel) -> None:
    parameters = len(corrected.weights)
    assert len(recipe_bytes(corrected)) < parameters  # the tower takes four bytes per parameter


@pytest.mark.parametrize("kind", ["corrected", "routed"])
def test_the_same_model_has_the_same_recipe(kind: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(kind)
    assert len({recipe_bytes(model) for _ in range(8)}) == 1  # the text's order was random once


def test_corrections_come_back(corrected: MergedModel) -> None:
    content = correction_bytes(recipe_bytes(corrected), {})
    assert content is not None
    expected = {
        f"{task}.{name}": tensor
        for task, correction in corrected.corrections.items()
        for name, tensor in correction.state().items()
    }
    found = safetensors.torch.load(content)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert all(tensor.any() for tensor in found.values())


def test_corrections_do_not_change_the_tower(session: Session, corrected: MergedModel) -> None:
    state = safetensors.torch.load(merged_bytes(recipe_bytes(corrected), session.vectors, {}))
    assert torch.equal(session.vectors.layout.flatten(state), corrected.weights)


def test_a_model_without_corrections_has_no_file_for_them(plain: MergedModel) -> None:
    assert correction_bytes(recipe_bytes(plain), {}) is None


def test_tasks_own_tensors_come_back(tinted: MergedModel) -> None:
    content = own_bytes(recipe_bytes(tinted), {})
    assert content is not None
    found = safetensors.torch.load(content)
    expected = {
        f"{task}.{name}": tensor for task, own in tinted.own.items() for name, tensor in own.items()
    }
    assert expected
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_model_without_own_tensors_has_no_file_for_them(plain: MergedModel) -> None:
    assert own_bytes(recipe_bytes(plain), {}) is None


def test_a_routed_models_tower_is_the_base(session: Session, routed: Model) -> None:
    state = safetensors.torch.load(merged_bytes(recipe_bytes(routed), session.vectors, {}))
    assert torch.equal(session.vectors.layout.flatten(state), session.vectors.base)


def test_a_router_comes_back_whole_with_its_settings(routed: Model) -> None:
    content = router_bytes(recipe_bytes(routed), {"run_id": "0123"})
    assert content is not None
    found, expected = safetensors.torch.load(content), routed.state()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    header = content[8 : 8 + int.from_bytes(content[:8], "little")]
    text = json.loads(header)["__metadata__"]
    assert {name: json.loads(text[name]) for name in routed.settings()} == routed.settings()
    assert text["run_id"] == "0123"


def test_a_model_that_is_one_tower_has_no_router(session: Session, plain: MergedModel) -> None:
    recipe = recipe_bytes(plain)
    assert not is_routed(recipe)
    assert router_bytes(recipe, {}) is None
    assert vector_bytes(recipe, session.vectors, {}) is None


def test_coefficients_lie_by_tensor(session: Session, plain: MergedModel) -> None:
    content = coefficient_bytes(recipe_bytes(plain), session.vectors, {})
    assert content is not None
    found = safetensors.torch.load(content)
    names = [segment.name for segment in session.vectors.layout.segments]
    assert torch.equal(torch.stack([found[name] for name in names], dim=1), plain.coefficients)


def test_a_routed_model_has_task_vectors_and_no_coefficients(
    session: Session, routed: Model
) -> None:
    recipe, vectors = recipe_bytes(routed), session.vectors
    assert coefficient_bytes(recipe, vectors, {}) is None
    content = vector_bytes(recipe, vectors, {})
    assert content is not None
    found = safetensors.torch.load(content)
    assert torch.equal(found["proj"][1], vectors.layout.unflatten(vectors.vectors[1])["proj"])


def test_a_head_comes_back(session: Session, tmp_path: Path) -> None:
    head = session.material.heads["beta"]
    (tmp_path / "head").write_bytes(head_bytes(head, {"run_id": "0123"}))
    found = load_head(tmp_path / "head", num_classes=4, feature_dim=8)
    assert torch.equal(found.weight, head.weight)


@pytest.mark.parametrize("normalised", [True, False])
def test_a_head_comes_back_as_linear_as_it_was(
    normalised: bool, session: Session, tmp_path: Path
) -> None:
    head = replace(session.material.heads["beta"], normalised=normalised)
    (tmp_path / "exported").write_bytes(head_bytes(head, {"run_id": "0123"}))
    save_head(tmp_path / "saved", head)
    for name in ("exported", "saved"):
        found = load_head(tmp_path / name, num_classes=4, feature_dim=8)
        assert found.normalised == normalised
    assert head_bytes(head, {"b": "1", "a": "2"}) == head_bytes(head, {"a": "2", "b": "1"})


def test_a_written_tower_has_no_variance_below_zero() -> None:
    names = ("bn.weight", "bn.running_var")
    shapes = {name: torch.Size([2]) for name in names}
    base, tuned = ({name: torch.full((2,), value) for name in names} for value in (1.0, 0.1))
    vectors = task_vectors(base, {"alpha": tuned}, shapes)
    recipe = safetensors.torch.save(
        {"coefficients": torch.full((1, 2), 2.0)}, {"selection": "null"}
    )
    state = safetensors.torch.load(merged_bytes(recipe, vectors, {}))
    assert torch.equal(state["bn.running_var"], torch.zeros(2))
    torch.testing.assert_close(state["bn.weight"], torch.full((2,), -0.8))


def test_the_text_beside_the_tensors_is_kept(
    session: Session, corrected: MergedModel, tmp_path_factory: pytest.TempPathFactory
) -> None:
    recipe, text = recipe_bytes(corrected), {"run_id": "0123", "study": "tiny"}
    folder = tmp_path_factory.mktemp("files")
    (folder / "tower").write_bytes(merged_bytes(recipe, session.vectors, text))
    (folder / "corrections").write_bytes(correction_bytes(recipe, text) or b"")
    for path in folder.iterdir():
        with safetensors.safe_open(path, framework="pt") as file:
            assert file.metadata() == text


def test_coefficients_carry_the_names_of_their_columns(
    session: Session, plain: MergedModel, routed: Model
) -> None:
    texts = header_of(recipe_bytes(plain))[0]["__metadata__"]
    segments = session.vectors.layout.segments
    assert json.loads(texts["tensors"]) == [segment.name for segment in segments]
    blocks = json.loads(texts["blocks"])
    assert len(blocks) == len(segments)
    assert list(dict.fromkeys(blocks)) == ["stem", "block.0", "block.1", "final"]
    assert "tensors" not in header_of(recipe_bytes(routed))[0]["__metadata__"]
