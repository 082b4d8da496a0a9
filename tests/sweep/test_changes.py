import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distmerge.coordinator import Digests
from distmerge.errors import ConfigError, ResultsError
from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.spec import ModelFiles, Study
from distmerge.sweep.changes import check_unchanged, record_study
from tests.coordinator.sessions import session_of
from tests.sweep.studies import ADAPT, study_of

Change = Callable[[], None]
PIPELINES: list[dict[str, Any]] = [
    {"stages": ["task_arithmetic"], "trials": 3},
    {"stages": ["adamerging"], "settings": ADAPT},
]


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(str(tmp_path), HYPERS)


@pytest.fixture
def digests(world: ModelFiles) -> Digests:
    return session_of(world).digests


@pytest.fixture
def first(world: ModelFiles, tmp_path: Path, store: RunStore, digests: Digests) -> Study:
    study = study_of(world, tmp_path, pipelines=PIPELINES)
    record_study(store, study, digests)
    return study


def pipelines(**adapt: Any) -> dict[str, Any]:
    changed = {**ADAPT, **{f"adamerging.{key}": value for key, value in adapt.items()}}
    return {"pipelines": [PIPELINES[0], {"stages": ["adamerging"], "settings": changed}]}


def test_a_study_is_kept_as_json_beside_its_rows(first: Study, store: RunStore) -> None:
    content = store.read_file("_studies/tiny.json").decode()
    assert '"study": "tiny"' in content
    assert '"pipelines.adamerging.adamerging.steps": 12' in content


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pipelines": [{"stages": ["task_arithmetic"], "trials": 30}, PIPELINES[1]]},
        {"pipelines": [*PIPELINES, {"stages": ["ties"]}]},
        {"pipelines": PIPELINES[:1]},
        {"pipelines": PIPELINES[::-1]},
        pipelines(keep="last"),  # the default, written out
        {"repeats": 3},
        {"ray": False},
        {"ray": {"actors": 2}},
        {"sanity": "warn", "block": 7, "checkpoint_s": None, "trial_timeout_s": 60.0},
        {"sampler": "random"},
    ],
    ids=str,
)
def test_more_runs_and_other_ways_to_do_them_are_no_change(
    changes: dict[str, Any], first: Study, world: ModelFiles, tmp_path: Path, store: RunStore
) -> None:
    check_unchanged(store, study_of(world, tmp_path, **{"pipelines": PIPELINES, **changes}))


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"seed": 3}, "seed: was 0, now 3"),
        ({"protocol": "transductive"}, 'protocol: was "disjoint", now "transductive"'),
        ({"select": "accuracy"}, 'select: was "agreement", now "accuracy"'),
        ({"images": {"report": 8}}, "images.report: was null, now 8"),
        ({"levels": ["L1"]}, r'levels: was [], now ["L1"]'),
        ({"unseen": ["gamma"]}, r'unseen: was [], now ["gamma"]'),
        (pipelines(lr=0.5), "pipelines.adamerging.adamerging.lr: was 0.01, now 0.5"),
        (
            pipelines(lr={"log_uniform": [0.01, 0.1]}),
            'adamerging.lr: was 0.01, now "0.01 to 0.1, logarithmic"',
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_change_of_what_decides_the_numbers_is_refused_with_the_difference(
    changes: dict[str, Any],
    difference: str,
    first: Study,
    world: ModelFiles,
    tmp_path: Path,
    store: RunStore,
) -> None:
    study = study_of(world, tmp_path, **{"pipelines": PIPELINES, **changes})
    with pytest.raises(ConfigError, match="tiny was run with other content") as caught:
        check_unchanged(store, study)
    assert difference in str(caught.value)
    assert str(caught.value).count("\n  - ") == 2  # it, and how to fix it
    assert "--fork NAME" in str(caught.value)


def test_all_differences_are_listed_at_once(
    first: Study, world: ModelFiles, tmp_path: Path, store: RunStore
) -> None:
    study = study_of(world, tmp_path, seed=1, select="entropy", **pipelines(steps=5))
    with pytest.raises(ConfigError, match=r"(?s)seed: .*select: .*adamerging\.steps: was 12"):
        check_unchanged(store, study)


def test_another_study_is_not_compared(
    first: Study, world: ModelFiles, tmp_path: Path, store: RunStore
) -> None:
    check_unchanged(store, study_of(world, tmp_path, study="other", seed=9))


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"base": "x"}, r"models\.base \(content\): was "),
        ({"images": "x"}, r"images of all tasks \(content\): was "),
        ({"checkpoints": {"alpha": "x"}}, r"models\.tasks \(names\).*alpha\.checkpoint"),
    ],
    ids=str,
)
def test_other_models_or_images_under_the_same_names_are_refused(
    changed: dict[str, Any], difference: str, first: Study, store: RunStore, digests: Digests
) -> None:
    with pytest.raises(ConfigError, match=f"(?s){difference}"):
        record_study(store, first, replace(digests, **changed))


def test_the_same_models_elsewhere_are_no_change(
    first: Study, store: RunStore, digests: Digests
) -> None:
    assert isinstance(first.models, ModelFiles)
    moved = first.models.model_copy(update={"base": Path("/elsewhere/base.safetensors")})
    record_study(store, first.model_copy(update={"models": moved}), digests)


def test_a_pipeline_left_out_for_a_while_is_remembered(
    first: Study, world: ModelFiles, tmp_path: Path, store: RunStore, digests: Digests
) -> None:
    fewer = study_of(world, tmp_path, pipelines=PIPELINES[:1])
    record_study(store, fewer, digests)
    with pytest.raises(ConfigError, match=r"adamerging\.lr: was 0\.01, now 0\.5"):
        check_unchanged(store, study_of(world, tmp_path, **pipelines(lr=0.5)))


def forget(store: RunStore, *keys: str) -> None:
    """Make the record that of a version without some keys."""
    kept = json.loads(store.read_file("_studies/tiny.json"))
    for key in keys:
        del kept["decisive"][key]
    store.write_file("_studies/tiny.json", json.dumps(kept).encode())


STEPS = "pipelines.adamerging.adamerging.steps"


@pytest.mark.parametrize(
    ("key", "changes", "difference"),
    [
        ("bank", {"bank": "bfloat16"}, 'bank: was "float32", now "bfloat16"'),
        ("images.report", {"images": {"report": 8}}, "images.report: was null, now 8"),
        (STEPS, {}, f"{STEPS}: was 500, now 12"),
    ],
)
def test_what_an_older_version_did_not_know_is_compared_with_its_default(
    key: str, changes: dict[str, Any], difference: str, first: Study, store: RunStore
) -> None:
    forget(store, key)
    now = Study.model_validate({**first.model_dump(), **changes})
    with pytest.raises(ConfigError, match="tiny was run with other content") as caught:
        check_unchanged(store, now)
    assert difference in str(caught.value)


def test_the_default_of_what_an_older_version_did_not_know_is_no_change(
    first: Study, store: RunStore
) -> None:
    forget(store, "bank", "levels", "pipelines.adamerging.adamerging.keep")
    check_unchanged(store, first)


@pytest.mark.parametrize("turned", [False, True])
def test_the_order_of_levels_and_unseen_tasks_is_no_change(
    turned: bool, world: ModelFiles, tmp_path: Path, store: RunStore, digests: Digests
) -> None:
    lists = {"levels": ["L1", "L2"], "unseen": ["alpha", "beta"]}
    study, other = (
        study_of(world, tmp_path, **{key: found[::step] for key, found in lists.items()})
        for step in (1, -1)
    )
    record_study(store, study, digests)
    if turned:  # as a version left it that kept the order
        kept = json.loads(store.read_file("_studies/tiny.json"))
        kept["decisive"] |= {key: found[::-1] for key, found in lists.items()}
        store.write_file("_studies/tiny.json", json.dumps(kept).encode())
    check_unchanged(store, other)
    check_unchanged(store, study)


@pytest.mark.parametrize(
    "content", [b"{", b"\xff", b"{}", b"[]", b'{"decisive": [1]}', b'{"decisive": {"levels": 1}}']
)
def test_a_damaged_record_is_named_with_its_mend(
    content: bytes, first: Study, store: RunStore
) -> None:
    store.write_file("_studies/tiny.json", content)
    with pytest.raises(ResultsError, match=r"_studies/tiny\.json: damaged .*; delete it"):
        check_unchanged(store, first)
