"""What is really packed, by Ray's own function, from a folder like a developer's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from distmerge.errors import ConfigError
from distmerge.launch import Package, packed
from tests.launch.files import ROOT

STAYS = (
    ".git/HEAD",
    ".venv/bin/python",
    "venv/lib/site.py",
    "results/study=a/row.parquet",
    "results/_best/a/model.safetensors",
    "models/base.safetensors",
    "models/old.pt",
    "models/old.pth",
    "data/train.images.npy",
    "data/train.parquet",
    ".mypy_cache/3.11/cache.json",
    ".pytest_cache/v/last",
    ".ruff_cache/0.1/file",
    ".hypothesis/examples/a",
    "distmerge/__pycache__/a.pyc",
    "distmerge.egg-info/PKG-INFO",
    "tests/test_a.py",
    "storage.env",
    ".env",
    "key.pem",
    "cluster_token/auth_token",
)
TRAVELS = (
    "jobs/sweep.py",
    "jobs/mine.yaml",
    "distmerge/report/results/page.py",
    "distmerge/zoo/build.py",
    "studies/labels.json",
    "pyproject.toml",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (*STAYS, *TRAVELS):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    (tmp_path / ".rayignore").write_text((ROOT / ".rayignore").read_text())
    return tmp_path


@pytest.fixture
def package(folder: Path) -> Iterator[Package]:
    with packed(folder) as found:
        yield found


def test_repository_results_models_caches_and_secrets_stay(package: Package) -> None:
    assert package.names & set(STAYS) == set()


def test_code_and_studies_travel(package: Package) -> None:
    assert package.names == {*TRAVELS, ".rayignore"}


def test_this_repository_is_small() -> None:
    with packed(ROOT) as package:
        assert package.mib < 5
        assert {"jobs/sweep.py", "jobs/quickstart.yaml", "distmerge/cli/__init__.py"} <= set(
            package.names
        )
        kept = (".git/", ".venv/", "results/", "tests/")
        assert not [name for name in package.names if name.startswith(kept)]


@pytest.mark.parametrize("location", ["jobs/mine.yaml", "studies", "jobs/*.yaml", "./studies/"])
def test_a_relative_path_that_travels_is_known(package: Package, location: str) -> None:
    assert package.has(location)


@pytest.mark.parametrize("location", ["models/base.safetensors", "results", "absent", "job"])
def test_a_relative_path_that_stays_is_known(package: Package, location: str) -> None:
    assert not package.has(location)


def test_a_folder_without_the_entry_script_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no jobs/sweep\.py that travels"), packed(tmp_path):
        pass


def test_a_folder_that_is_too_large_is_refused_with_its_largest_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray._private.runtime_env.packaging.GCS_STORAGE_MAX_SIZE", 2000)
    (folder / "film.mp4").write_bytes(b"x" * 3 * 2**20)
    with pytest.raises(ConfigError, match=r"weighs 3 MiB(.|\n)*- film\.mp4: 3 MiB"), packed(folder):
        pass
