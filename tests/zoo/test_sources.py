import hashlib
from pathlib import Path

import pytest

from distmerge.errors import ZooError
from distmerge.zoo.packages import DebianPackage, NpmPackage, Wheel
from distmerge.zoo.sources import fetched, package_record, require_extra, verify

CONTENT = b"a wheel"
WHEEL = Wheel(
    package="toy",
    version="1.0",
    filename="toy-1.0-py3-none-any.whl",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)


def test_a_wheel_that_lies_there_is_not_downloaded_again(tmp_path: Path) -> None:
    (tmp_path / WHEEL.filename).write_bytes(CONTENT)
    lines: list[str] = []
    assert fetched((WHEEL,), tmp_path, lines.append) == {"toy": tmp_path / WHEEL.filename}
    assert lines == []


def test_a_debian_package_that_lies_there_is_not_downloaded_again(tmp_path: Path) -> None:
    (tmp_path / "toy_1.0-2_all.deb").write_bytes(CONTENT)
    (tmp_path / "toy-extra_3.0_all.deb").write_bytes(CONTENT)
    found = fetched((DebianPackage(package="toy"),), tmp_path, lambda _: None)
    assert found == {"toy": tmp_path / "toy_1.0-2_all.deb"}


def test_the_record_has_the_version_and_hash_that_came(tmp_path: Path) -> None:
    path = tmp_path / "toy_1.0-2_all.deb"
    path.write_bytes(CONTENT)
    assert package_record({"toy": path}) == {
        "toy": {"file": "toy_1.0-2_all.deb", "sha256": WHEEL.sha256}
    }


def test_clients_that_are_missing_are_named_with_every_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    packages = (
        NpmPackage(package="toy", version="1.0", sha256=WHEEL.sha256),
        DebianPackage(package="toy-data"),
    )
    expected = r"(?s)npm is not installed.*needed for toy@1.0.*dpkg-deb is not.*for toy-data"
    with pytest.raises(ZooError, match=expected):
        fetched(packages, tmp_path / "downloads", lambda _: None)


def test_another_content_is_refused(tmp_path: Path) -> None:
    path = tmp_path / WHEEL.filename
    path.write_bytes(b"something else")
    with pytest.raises(ZooError, match=r"toy==1.0: .* has sha256 \w{64}, expected \w{64}; .* not"):
        verify(path, WHEEL)


def test_all_packages_that_pip_cannot_fetch_are_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # pip itself then finds nothing, without a network
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    other = WHEEL.model_copy(update={"package": "toy2"})
    expected = r"(?s)toy==1.0: pip download failed .* put toy-1.0-.*into .*toy2==1.0: pip download"
    with pytest.raises(ZooError, match=expected):
        fetched((WHEEL, other), tmp_path / "downloads", lambda _: None)


def test_a_failed_download_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ZooError, match="toy"):
        fetched((WHEEL,), tmp_path, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_the_extra_is_installed_where_the_tests_run() -> None:
    require_extra()
