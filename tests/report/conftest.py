"""A report with every section, made once."""

import pytest

from distmerge.report import Report, study_report
from tests.report.results import full


@pytest.fixture(scope="session")
def full_root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return full(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="session")
def full_report(full_root: str) -> Report:
    return study_report(full_root)
