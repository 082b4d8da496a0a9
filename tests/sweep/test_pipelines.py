"""Every pipeline in this process and on Ray, with fewer actors than tasks: the same results."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import safetensors.torch
import torch

from distmerge.methods import HYPERS, METHODS
from distmerge.results import RunStore
from distmerge.spec import ModelFiles, Study
from distmerge.sweep import run_sweep
from distmerge.sweep.trial import recipe_name
from tests.sweep.studies import console, rows_of, study_of

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]


@dataclass(frozen=True)
class Case:
    """Stages that take few steps."""

    stages: tuple[str, ...]
    settings: Mapping[str, object]

    def rows(self, study: Study) -> pd.DataFrame:
        rows = rows_of(study)
        return rows[rows["method"] == "+".join(self.stages)].reset_index(drop=True)

    def decided(self, study: Study) -> dict[str, torch.Tensor]:
        """Give the coefficients and whatever else the run of these stages learned."""
        (run_id,) = self.rows(study)["run_id"].unique()
        content = RunStore(study.storage, HYPERS).read_file(recipe_name(study.study, run_id))
        tensors: dict[str, torch.Tensor] = safetensors.torch.load(content)
        return tensors


def case(*stages: str, **settings: Mapping[str, object]) -> Case:
    """Give stages, with their settings by method."""
    named = {f"{method}.{k}": v for method, own in settings.items() for k, v in own.items()}
    return Case(stages, named)


ADAMERGING = {"steps": 3, "batch_size": 4, "lr": 0.01}
TINTING = {"steps": 3, "batch_size": 4}
BD = {"head_steps": 3, "warm_up": 3, "steps": 3, "batch_size": 4, "hidden": 8}
SURGERY = {"steps": 5, "batch_size": 4, "rank": 4}
# Two studies, since the same stages can be in a study once; the second holds its bank in bfloat16.
STUDIES: tuple[dict[str, Case], ...] = (
    {
        "weight_averaging": case("weight_averaging"),
        "task_arithmetic": case("task_arithmetic"),
        "ties": case("ties"),
        "adamerging": case("adamerging", adamerging=ADAMERGING),
        "adamerging_pp": case("adamerging_pp", adamerging_pp=ADAMERGING),
        "joint tinting of heads": case("tinting", tinting=TINTING),
        "routed bd_merging": case("bd_merging", bd_merging=BD),
        "ties+surgery": case("ties", "surgery", surgery=SURGERY),
        "adamerging+surgery": case("adamerging", "surgery", adamerging=ADAMERGING, surgery=SURGERY),
    },
    {
        "sequential tinting of a layer": case(
            "tinting", tinting={**TINTING, "schedule": "sequential", "layer": "mlp.c_fc"}
        ),
        "bd_merging without a router": case("bd_merging", bd_merging={**BD, "router": "none"}),
    },
)
CASES = [(number, name) for number, study in enumerate(STUDIES) for name in study]
# One trial at a time, so that one process does all runs: each new one imports torch again.
ONE_TRIAL = {"max_concurrent": 1, "timeout_s": 120.0}
LAYOUTS = (
    pytest.param({"actors": 1, **ONE_TRIAL}, marks=pytest.mark.slow, id="one actor"),
    pytest.param(
        {"actors": 2, "gradient": "actors", **ONE_TRIAL}, id="two actors that compute gradients"
    ),
)
Finished = Callable[[int], Study]


def swept(world: ModelFiles, folder: Path, ray: object) -> Finished:
    """Give what sweeps a study when it is first asked for."""

    @cache
    def finished(number: int) -> Study:
        pipelines = [
            {"stages": list(case.stages), "settings": dict(case.settings)}
            for case in STUDIES[number].values()
        ]
        bank = ("float32", "bfloat16")[number]
        place = folder / str(number)
        study = study_of(world, place, pipelines=pipelines, ray=ray, bank=bank)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DISTMERGE_CACHE", str(folder / "cache"))  # all facts are computed anew
            assert run_sweep(study, console()).failed == 0
        return study

    return finished


@pytest.fixture(scope="module")
def here(world: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return swept(world, tmp_path_factory.mktemp("here"), False)


@pytest.fixture(scope="module", params=LAYOUTS)
def there(
    request: pytest.FixtureRequest, world: ModelFiles, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    return swept(world, tmp_path_factory.mktemp("there"), request.param)


def test_every_method_has_a_case() -> None:
    cases = [case for study in STUDIES for case in study.values()]
    assert {method for case in cases for method in case.stages} == set(METHODS)


@pytest.mark.parametrize(("number", "name"), CASES, ids=[name for _, name in CASES])
def test_a_pipeline_on_ray_gives_the_rows_and_the_model_of_this_process(
    number: int, name: str, here: Finished, there: Finished
) -> None:
    case, expected, found = STUDIES[number][name], here(number), there(number)
    assert not case.rows(found).empty
    pd.testing.assert_frame_equal(case.rows(found), case.rows(expected), rtol=0, atol=1e-6)
    torch.testing.assert_close(case.decided(found), case.decided(expected), rtol=1e-5, atol=1e-6)
