import shutil
from pathlib import Path

import pytest

from distmerge.spec import ModelFiles


@pytest.fixture
def copied(world: ModelFiles, tmp_path: Path) -> ModelFiles:
    """The same world in another folder, free to be changed."""
    old, new = world.base.parent, tmp_path / "copy"
    shutil.copytree(old, new)
    return ModelFiles.model_validate_json(world.model_dump_json().replace(str(old), str(new)))
