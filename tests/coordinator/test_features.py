from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from distmerge.coordinator import (
    BlockFacts,
    FeatureBlock,
    FeatureKey,
    FeatureStore,
    features,
    keys_by_name,
)
from distmerge.coordinator.features import feature_keys
from distmerge.errors import DataError
from distmerge.methods.contract import PRETRAINED, Facts
from distmerge.spec import digest
from distmerge.tasks import ROLES, Role
from distmerge.tasks.samples import block_ranges

KEY = FeatureKey("alpha", "alpha", "adapt", "0123456789abcdef")
TASKS = ("alpha", "beta")
MODELS = {"alpha": "checkpoint a", "beta": "checkpoint b", PRETRAINED: "base"}
HEADS = {"alpha": "head a", "beta": "head b"}
IMAGES: dict[tuple[str, Role], str] = {
    (task, role): f"{task} {role}" for task in TASKS for role in ROLES
}


def block_of(images: int, seed: int = 0) -> FeatureBlock:
    random = np.random.default_rng(seed)
    shapes = ((images, 2, 4), (images, 3), (images, 5), (images,))
    return FeatureBlock(*(random.standard_normal(shape, dtype=np.float32) for shape in shapes))


def changed(
    *,
    tower: str = "tower",
    models: Mapping[str, str] | None = None,
    heads: Mapping[str, str] | None = None,
    images: Mapping[tuple[str, Role], str] | None = None,
) -> set[tuple[str, str, str]]:
    """Give the facts whose address changes with the given inputs."""
    before = feature_keys("tower", MODELS, HEADS, IMAGES)
    after = feature_keys(
        tower,
        {**MODELS, **(models or {})},
        {**HEADS, **(heads or {})},
        {**IMAGES, **(images or {})},
    )
    assert [key[:3] for key in before] == [key[:3] for key in after]
    return {b[:3] for a, b in zip(before, after, strict=True) if a.digest != b.digest}


def test_a_study_needs_every_tasks_own_model_and_the_base_on_all_its_images() -> None:
    keys = feature_keys("tower", MODELS, HEADS, IMAGES)
    own = {(task, task, role) for task in TASKS for role in ROLES}
    base = {(PRETRAINED, task, role) for task in TASKS for role in ROLES}
    assert {key[:3] for key in keys} == own | base
    assert len({key.digest for key in keys}) == len(keys) == 12


def test_facts_of_the_first_revision_keep_their_addresses() -> None:
    (key, *_) = feature_keys("tower", MODELS, HEADS, IMAGES)
    address = ["tower", MODELS[key.model], HEADS[key.task], IMAGES[key.task, key.role], "float32"]
    assert key.digest == digest(address)


def test_another_revision_is_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    before = feature_keys("tower", MODELS, HEADS, IMAGES)
    monkeypatch.setattr(features, "REVISION", features.REVISION + 1)
    after = feature_keys("tower", MODELS, HEADS, IMAGES)
    assert not {key.digest for key in before} & {key.digest for key in after}


def test_further_models_look_at_the_images_they_are_named_for() -> None:
    plain = feature_keys("tower", MODELS, HEADS, IMAGES)
    others: dict[tuple[str, Role], tuple[str, ...]] = {(t, "report"): TASKS for t in TASKS}
    crossed = feature_keys("tower", MODELS, HEADS, IMAGES, others)
    more = {key[:3] for key in crossed if key.crossed}
    assert more == {("beta", "alpha", "report"), ("alpha", "beta", "report")}
    assert [key for key in crossed if not key.crossed] == list(plain)
    assert len({key.digest for key in crossed}) == 14


def test_equal_inputs_have_equal_addresses() -> None:
    assert changed() == set()


def test_a_checkpoint_addresses_the_facts_of_its_model_alone() -> None:
    assert changed(models={"alpha": "other"}) == {("alpha", "alpha", role) for role in ROLES}


def test_the_base_addresses_the_facts_of_the_base_alone() -> None:
    wanted = {(PRETRAINED, task, role) for task in TASKS for role in ROLES}
    assert changed(models={PRETRAINED: "other"}) == wanted


def test_a_head_addresses_the_facts_of_its_task_alone() -> None:
    wanted = {(model, "beta", role) for model in ("beta", PRETRAINED) for role in ROLES}
    assert changed(heads={"beta": "other"}) == wanted


def test_images_address_the_facts_of_their_role_alone() -> None:
    wanted = {("beta", "beta", "select"), (PRETRAINED, "beta", "select")}
    assert changed(images={("beta", "select"): "other"}) == wanted


def test_the_tower_addresses_all_facts() -> None:
    assert len(changed(tower="other")) == 12


def test_facts_are_the_same_whatever_the_task_is_called() -> None:
    images: dict[tuple[str, Role], str] = {("zeta", r): IMAGES["alpha", r] for r in ROLES}
    models = {"zeta": MODELS["alpha"], PRETRAINED: MODELS[PRETRAINED]}
    renamed = feature_keys("tower", models, {"zeta": HEADS["alpha"]}, images)
    before = feature_keys("tower", MODELS, HEADS, IMAGES)[:6]
    assert [key.digest for key in renamed] == [key.digest for key in before]


@pytest.mark.parametrize("sizes", [(12,), (5, 7), (1, 1, 10)])
def test_what_is_saved_in_blocks_comes_back_as_one(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    store, blocks = FeatureStore(tmp_path / "new"), [block_of(n, seed=n) for n in sizes]
    assert KEY not in store
    store.save(KEY, blocks)
    assert KEY in store
    whole = store.load(KEY)
    for name, array in whole._asdict().items():
        np.testing.assert_array_equal(array, np.concatenate([getattr(b, name) for b in blocks]))


def test_saving_leaves_one_file_and_nothing_temporary(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.save(KEY, [block_of(3)])
    store.save(KEY, [block_of(3)])
    assert list(tmp_path.iterdir()) == [store.path(KEY)]


def test_an_interrupted_save_is_no_entry(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    (tmp_path / f".{store.path(KEY).name}.1.tmp").write_bytes(b"half")
    assert KEY not in store


@pytest.mark.parametrize("kept", [0, 10, 200])
def test_a_damaged_file_is_named(tmp_path: Path, kept: int) -> None:
    store = FeatureStore(tmp_path)
    store.save(KEY, [block_of(3)])
    store.path(KEY).write_bytes(store.path(KEY).read_bytes()[:kept])
    with pytest.raises(DataError, match=r"0123456789abcdef\.safetensors: damaged .*run again"):
        store.load(KEY)


def test_blocks_are_written_as_they_come(tmp_path: Path) -> None:
    store, blocks, sizes = FeatureStore(tmp_path), [block_of(n, seed=n) for n in (2, 3)], []

    def coming() -> Iterator[FeatureBlock]:
        for block in blocks:
            yield block
            (unfinished,) = tmp_path.iterdir()
            sizes.append(unfinished.stat().st_size)

    store.write(KEY, coming(), 5)
    assert 0 <= sizes[0] < store.path(KEY).stat().st_size
    assert torch.equal(store.facts(KEY).logits, BlockFacts(blocks).logits)


def test_stored_facts_are_read_when_asked_for_and_layers_each_time(tmp_path: Path) -> None:
    store, blocks = FeatureStore(tmp_path), [block_of(2, seed=1), block_of(3, seed=2)]
    store.save(KEY, blocks)
    facts, joined = store.facts(KEY), BlockFacts(blocks)
    assert isinstance(facts, Facts)
    assert facts.features is facts.features
    for name in FeatureBlock._fields:
        assert torch.equal(getattr(facts, name), getattr(joined, name))
    store.path(KEY).unlink()
    assert len(facts.logits) == 5
    with pytest.raises(DataError, match=r"damaged \(No such file"):
        _ = facts.layers


def test_facts_of_a_damaged_file_are_refused_before_they_are_read(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.save(KEY, [block_of(3)])
    store.path(KEY).write_bytes(store.path(KEY).read_bytes()[:-1])
    with pytest.raises(DataError, match=r"0123456789abcdef\.safetensors: damaged"):
        store.facts(KEY)


def test_a_file_with_other_fields_is_named(tmp_path: Path) -> None:
    import safetensors.numpy

    store = FeatureStore(tmp_path)
    safetensors.numpy.save_file({"features": np.zeros((2, 2))}, store.path(KEY))
    with pytest.raises(DataError, match=r"0123456789abcdef\.safetensors: damaged"):
        store.load(KEY)


def test_facts_join_their_blocks_in_order() -> None:
    blocks = [block_of(2, seed=1), block_of(3, seed=2)]
    facts = BlockFacts(blocks)
    assert isinstance(facts, Facts)
    whole = [np.concatenate(field) for field in zip(*blocks, strict=True)]
    fields = [facts.layers, facts.features, facts.logits, facts.confidence]
    for tensor, expected in zip(fields, whole, strict=True):
        assert torch.equal(tensor, torch.from_numpy(expected))


@pytest.mark.parametrize(
    ("images", "block", "ranges"),
    [
        (5, 2, [range(2), range(2, 4), range(4, 5)]),
        (4, 2, [range(2), range(2, 4)]),
        (4, 9, [range(4)]),
        (0, 3, []),
    ],
)
def test_blocks_cover_every_image_once(images: int, block: int, ranges: list[range]) -> None:
    assert list(block_ranges(images, block)) == ranges


def test_keys_are_known_by_model_task_and_role() -> None:
    keys = feature_keys("tower", MODELS, HEADS, IMAGES)
    found = keys_by_name(keys)
    assert found["alpha", "alpha", "select"] is next(k for k in keys if k.role == "select")
    assert list(found.values()) == list(keys)


def test_facts_of_one_block_are_mapped_and_not_copied() -> None:
    block = block_of(3)
    for array in block:
        array.flags.writeable = False
    assert BlockFacts([block]).logits.data_ptr() == block.logits.ctypes.data
