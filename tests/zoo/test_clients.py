import shutil
from pathlib import Path

import pytest

from distmerge.errors import ZooError
from distmerge.zoo.clients import apt_download, npm_pack, require_clients
from distmerge.zoo.packages import DebianPackage, NpmPackage

NPM = NpmPackage(package="@toys/none", version="1.0.0", sha256="")
DEBIAN = (DebianPackage(package="no-such-package-1"), DebianPackage(package="no-such-package-2"))


def test_installed_clients_are_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "npm").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    require_clients(("npm",), ("toy",))


def test_a_missing_npm_is_named_with_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ZooError, match=r"npm is not installed: .*Node.js.*needed for @toys/none@1"):
        npm_pack(NPM, tmp_path)


def test_missing_tools_of_debian_are_named_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    expected = r"apt-get is not installed: .*; dpkg-deb is not installed: .*needed for no-such"
    with pytest.raises(ZooError, match=expected):
        apt_download(DEBIAN, tmp_path)


def test_only_a_few_packages_are_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ZooError, match=r"needed for a, b, c, \.\.\."):
        require_clients(("npm",), ("a", "b", "c", "d"))


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is missing")
def test_a_package_that_npm_cannot_fetch_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("npm_config_offline", "true")  # npm itself then asks nobody
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    expected = r"@toys/none@1.0.0: npm pack failed .*put toys-none-1.0.0.tgz into"
    with pytest.raises(ZooError, match=expected):
        npm_pack(NPM, tmp_path)


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt-get is missing")
def test_all_packages_that_apt_does_not_know_are_named(tmp_path: Path) -> None:
    expected = r"2 Debian packages: .*such-package-1.*such-package-2.*apt-get update"
    with pytest.raises(ZooError, match=expected):
        apt_download(DEBIAN, tmp_path)
