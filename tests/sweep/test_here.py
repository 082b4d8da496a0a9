"""Runs beside any search, in this process."""

from functools import partial

import pytest
import torch

from distmerge.errors import CapacityError, CheckpointError
from distmerge.spec import ModelFiles
from distmerge.sweep.here import opened
from tests.coordinator.sessions import ignored
from tests.sweep.studies import study_of

PIPELINES = [{"stages": ["weight_averaging"]}]
CROSSED = [{"stages": ["bd_merging"], "settings": {"bd_merging.steps": 1}}]


def test_other_pipelines_share_what_was_loaded(world: ModelFiles) -> None:
    study = partial(study_of, world, world.base.parent / "none")
    here = opened(study(pipelines=PIPELINES), ignored)
    other = here.of(study(pipelines=[{"stages": ["ties"]}]))
    routed = here.of(study(pipelines=CROSSED))
    assert other.session.models is here.session.models
    assert routed.session.vectors is here.session.vectors
    assert routed.session.material is here.session.material
    assert routed.session.digests.crossed("report")


def test_references_are_measured_once_for_all_pipelines_that_are_compared_with_the_same(
    world: ModelFiles,
) -> None:
    study = partial(study_of, world, world.base.parent / "none")
    here = opened(study(pipelines=PIPELINES), ignored)
    plain, names = here.references, {"pretrained", "individual"}
    assert set(plain["method"].astype(str)) == names
    assert here.of(study(pipelines=[{"stages": ["ties"]}])).references is plain
    routed = here.of(study(pipelines=CROSSED)).references
    assert set(routed["method"].astype(str)) == names | {"one_expert", "nearest_centroid"}
    other = here.of(study(pipelines=PIPELINES, seed=5)).references
    assert set(other["seed"]) == {5}


def test_models_that_are_not_better_are_refused_before_any_merge(world: ModelFiles) -> None:
    swapped = [*world.tasks]
    swapped[0], swapped[1] = (
        task.model_copy(update={"checkpoint": other.checkpoint})
        for task, other in zip(swapped[:2], swapped[1::-1], strict=True)
    )
    files = world.model_copy(update={"tasks": tuple(swapped)})
    with pytest.raises(CheckpointError, match="not better than the pretrained"):
        opened(study_of(files, world.base.parent, pipelines=PIPELINES), ignored)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_named(world: ModelFiles) -> None:
    with pytest.raises(CapacityError, match="cuda:0"):
        opened(study_of(world, world.base.parent, pipelines=PIPELINES), ignored, "cuda:0")
