"""Features on S3: the next sweep starts warm on a machine that has never seen them."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from distmerge.coordinator import FeatureStore
from distmerge.errors import ResultsError
from distmerge.results import open_folder
from distmerge.spec import ModelFiles
from distmerge.sweep import plan_lines, run_sweep
from tests.coordinator.test_features import KEY, block_of
from tests.storage.clients import keys
from tests.storage.server import needs_s3
from tests.sweep.studies import console, rows_of, study_of

pytestmark = needs_s3
FIRST: list[dict[str, Any]] = [{"stages": ["weight_averaging"]}]
SECOND: list[dict[str, Any]] = [{"stages": ["ties"]}, {"stages": ["task_arithmetic"]}]


def text_of(study: Any) -> str:
    shown = console()
    run_sweep(study, shown)
    return shown.file.getvalue()  # type: ignore[attr-defined, no-any-return]  # a StringIO


def test_a_sweep_on_another_machine_computes_no_feature(
    bucket: str, world: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"{bucket}/shared/features"
    options: dict[str, Any] = {"ray": False, "features": place}
    monkeypatch.setenv("DISTMERGE_CACHE", str(tmp_path / "one machine"))
    first = text_of(study_of(world, tmp_path / "first", pipelines=FIRST, **options))
    alone = study_of(world, tmp_path / "alone", ray=False, pipelines=SECOND)
    run_sweep(alone, console())

    monkeypatch.setenv("DISTMERGE_CACHE", str(tmp_path / "another machine"))
    study = study_of(world, tmp_path / "second", pipelines=SECOND, **options)
    second = text_of(study)

    assert first.count("features ") == len([k for k in keys(place) if k.endswith(".safetensors")])
    assert first.count("features ") > 3
    assert "features " not in second
    pd.testing.assert_frame_equal(rows_of(study), rows_of(alone), check_exact=True)
    markers = [key for key in keys(bucket) if key.endswith("/")]
    assert all(key.rsplit("/", 2)[1].startswith("_") for key in markers)
    assert any("0 of" in line and "the rest is cached" in line for line in plan_lines(study))


def test_what_only_the_disk_has_is_shared_when_it_is_loaded(bucket: str, tmp_path: Path) -> None:
    FeatureStore(tmp_path).save(KEY, [block_of(3)])
    FeatureStore(tmp_path, open_folder(bucket)).load(KEY)
    assert keys(bucket) == [f"{KEY.digest}.safetensors"]


def test_facts_are_fetched_once(bucket: str, tmp_path: Path) -> None:
    shared = open_folder(bucket)
    FeatureStore(tmp_path / "one", shared).save(KEY, [block_of(3)])
    other = FeatureStore(tmp_path / "other", shared)
    assert KEY in other
    first = other.load(KEY)
    assert (FeatureStore(tmp_path / "other").load(KEY).features == first.features).all()


def test_a_place_that_cannot_be_used_stops_the_sweep_before_any_work(
    bucket: str, world: ModelFiles, tmp_path: Path
) -> None:
    study = study_of(world, tmp_path / "results", ray=False, features="s3://absent-bucket/x")
    shown = console()
    with pytest.raises(ResultsError, match=r"s3://absent-bucket/x.*no such bucket"):
        run_sweep(study, shown)
