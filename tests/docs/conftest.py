"""One finished study for all pages."""

import pytest

from tests.docs.folder import Finished
from tests.docs.folder import finished as finished_in


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The folder that pages work in copies of."""
    return finished_in(tmp_path_factory.mktemp("pages"))
