"""The sweep that others are compared with."""

import pandas as pd
import pytest

from distmerge.spec import ModelFiles
from distmerge.sweep import run_sweep
from tests.sweep.studies import console, rows_of, study_of


@pytest.fixture(scope="module")
def serial(world: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The rows of a sweep in this process."""
    study = study_of(world, tmp_path_factory.mktemp("serial"), ray=False)
    result = run_sweep(study, console())
    assert result.failed == 0
    return rows_of(study)
