"""Packages whose files are read, and never installed or imported."""

from typing import Annotated, Literal

from pydantic import Field

from distmerge.spec import Frozen


class Wheel(Frozen):
    """A package whose wheel is read as an archive, and never installed or imported."""

    package: str
    """Name on the package index."""
    version: str
    """The one version whose content is known."""
    filename: str
    """Name of the wheel's file."""
    sha256: str
    """What the file must hash to."""

    @property
    def requirement(self) -> str:
        """``package==version``."""
        return f"{self.package}=={self.version}"


class NpmPackage(Frozen):
    """A package of the npm registry, pinned by version and hash."""

    registry: Literal["npm"] = "npm"
    package: str
    """Name on the registry, with its scope."""
    version: str
    """The one version whose content is known."""
    sha256: str
    """What the tarball must hash to."""

    @property
    def requirement(self) -> str:
        """``package@version``."""
        return f"{self.package}@{self.version}"

    @property
    def filename(self) -> str:
        """Name that npm gives the tarball."""
        return f"{self.package.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


class DebianPackage(Frozen):
    """A package of Debian main; apt gives the version of the system's release, and verifies it."""

    registry: Literal["debian"] = "debian"
    package: str
    """Name in Debian."""


RegistryPackage = Annotated[NpmPackage | DebianPackage, Field(discriminator="registry")]
Package = Wheel | NpmPackage | DebianPackage
