import pytest
import torch

from distmerge.methods import METHODS
from distmerge.run import run
from distmerge.spec import ModelFiles, Pipeline, Study
from distmerge.sweep.search.seeds import other_seeds
from tests.coordinator.sessions import config_of, ignored, session_of, tensors_of


@pytest.mark.parametrize(
    ("stages", "seeds"),
    [
        (("adamerging",), [6, 7]),
        (("task_arithmetic", "surgery"), [6, 7]),
        (("task_arithmetic",), []),
        (("ties",), []),
    ],
    ids=["merge", "correction", "task arithmetic", "ties"],
)
def test_a_pipeline_is_repeated_if_any_stage_draws_something(
    stages: tuple[str, ...], seeds: list[int]
) -> None:
    pipeline = Pipeline(stages=stages)
    content = {"study": "s", "models": {"zoo": "tiny"}, "pipelines": [pipeline]}
    study = Study.model_validate({**content, "seed": 5, "repeats": 3})
    assert list(other_seeds(study, pipeline)) == seeds


@pytest.mark.parametrize("method", [m.name for m in METHODS.values() if not m.random])
def test_a_method_that_draws_nothing_gives_the_same_model_with_every_seed(
    method: str, world: ModelFiles
) -> None:
    found = [run(session_of(world), config_of({}, method, seed=seed), ignored) for seed in (0, 1)]
    (one, first), (other, second) = found
    assert first.metrics == second.metrics
    assert (first.seed, second.seed) == (0, 1)
    assert first.run_id != second.run_id
    tensors = tensors_of(one), tensors_of(other)
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
