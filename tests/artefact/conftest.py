"""Folders of every kind of model."""

import pytest

from distmerge.spec import ModelFiles
from tests.sweep.exports import Exports, exported


@pytest.fixture(scope="session")
def exports(world: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """Every run of one sweep as a folder."""
    return exported(world, tmp_path_factory.mktemp("exports"))
