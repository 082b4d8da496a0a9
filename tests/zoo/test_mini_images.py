from pathlib import PurePath

import pytest

from distmerge.zoo.images import Emoji, Flags, Textures
from distmerge.zoo.mini_images import IMAGES
from distmerge.zoo.packages import NpmPackage

NPM = [
    package
    for images in IMAGES.values()
    for package in images.packages
    if isinstance(package, NpmPackage)
]


@pytest.mark.parametrize("package", NPM, ids=lambda package: package.package)
def test_every_npm_package_is_pinned_by_version_and_hash(package: NpmPackage) -> None:
    assert len(package.version.split(".")) == 3
    assert len(bytes.fromhex(package.sha256)) == 32


def test_no_two_textures_have_the_same_name() -> None:
    images = IMAGES["textures"]
    assert isinstance(images, Textures)
    names = [PurePath(file).stem for textures in images.sets for file in textures.files]
    assert len(names) == len(set(names)) == 55


def test_the_emoji_are_shared_out_completely() -> None:
    images = IMAGES["emoji"]
    assert isinstance(images, Emoji)
    assert sum(images.shares.values()) == pytest.approx(1.0)


def test_the_held_out_flags_do_not_train() -> None:
    images = IMAGES["flags"]
    assert isinstance(images, Flags)
    assert images.held_out not in images.art
    assert len(images.codes) == len(set(images.codes)) == 50
