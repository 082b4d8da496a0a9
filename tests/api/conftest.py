"""Merges of every kind that the tests of a notebook's functions look at."""

import pytest

from distmerge.api import Merged, Models, Stage
from distmerge.spec import ModelFiles
from tests.api.world import models_of
from tests.sweep.exports import ROUTED, ROUTED_SETTINGS

STAGES: dict[str, list[Stage]] = {  # as tests/sweep/exports.py sweeps them
    "ties": ["ties"],
    "tinting+surgery": [
        {"tinting": {"steps": 2, "layer": "mlp.c_proj"}},
        {"surgery": {"steps": 5, "rank": 4}},
    ],
    ROUTED: [{ROUTED: ROUTED_SETTINGS}],
}


@pytest.fixture(scope="session")
def models(world: ModelFiles) -> Models:
    """The tiny world's models, opened as a notebook does."""
    return models_of(world, study="tiny", levels=["L1"])


@pytest.fixture(scope="session", params=STAGES)
def merged(request: pytest.FixtureRequest, models: Models) -> Merged:
    """A merge of one kind after the other."""
    return models.merge(STAGES[request.param])
