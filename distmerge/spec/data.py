"""Where a task's images or texts come from, and how they are read."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    NonNegativeInt,
    Tag,
    model_validator,
)

from distmerge.remote import without_secret
from distmerge.spec.hyper import Frozen


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


Location = Annotated[
    str, Field(min_length=1), BeforeValidator(_as_text), AfterValidator(without_secret)
]
"""A local path, a glob of files (``data/train-*.parquet``) or an fsspec URL (``s3://...``)."""
Share = Annotated[float, Field(gt=0, lt=1)]
_ROLES = ("adapt", "select", "report")
BenchmarkName = Literal["SUN397", "Cars", "RESISC45", "EuroSAT", "SVHN", "GTSRB", "MNIST", "DTD"]


def is_url(location: str) -> bool:
    """Whether the location is a URL, and no path on this machine."""
    return "://" in location


class Shares(Frozen):
    """How one stock of images is divided; an image's pixels decide where it goes."""

    adapt: Share = 0.6
    """Share that methods learn from, without labels."""
    select: Share = 0.1
    """Share on which the search compares runs."""
    report: Share = 0.3
    """Share that the results table reports."""

    @model_validator(mode="after")
    def _sum_to_one(self) -> "Shares":
        total = self.adapt + self.select + self.report
        if abs(total - 1) > 1e-6:
            raise ValueError(f"adapt + select + report: got {total:g}, expected 1")
        return self


class _Reading(Frozen):
    """What all forms of data have in common."""

    classes: tuple[str, ...] | Location | None = None
    """Class names in the head's order: a list, or a text or JSON file of them; null: as the
    source names them (sub-folders, sorted, or the metadata of a Hugging Face dataset). A source
    that names its classes uses these names; a benchmark task takes them in torchvision's order."""
    image: str = "image"
    """Image column of Parquet and Arrow files."""
    text: str = "text"
    """Text column of Parquet, Arrow, CSV, TSV and JSON Lines files, for a text tower."""
    label: str = "label"
    """Label column of all these files."""
    skip_unreadable: NonNegativeInt = 0
    """Images of the task that may be left out as undecodable, and files in an image folder that are
    no images; more of either is an error."""
    shared: Literal["refuse", "drop"] = "refuse"
    """Images that are in two roles: an error, or left out of adapt (then of select), so that the
    report images stay whole."""

    def absolute(self) -> "_Reading":
        """Give the same by absolute path: a worker has a working directory of its own."""
        places = {
            name: getattr(self, name)
            for name in ("path", "root", "classes", *_ROLES)
            if isinstance(getattr(self, name, None), str)
        }
        return self.model_copy(update={name: _absolute(place) for name, place in places.items()})


def _absolute(location: str) -> str:
    return location if is_url(location) else str(Path(location).expanduser().absolute())


class WholeData(_Reading):
    """One labelled source, divided into the three roles by the content of its images."""

    path: Location
    """An image folder with class sub-folders, WebDataset shards, or Parquet or Arrow files; for
    texts also CSV, TSV or JSON Lines files."""
    shares: Shares = Shares()
    """How much of it each role gets; equal images go to one role, whatever their order."""

    def __str__(self) -> str:
        return self.path


class RoleData(_Reading):
    """One source per role, of any kind."""

    adapt: Location | None = None
    """Labels, if it has any, are not read; null: only for protocol: transductive."""
    select: Location
    """Labelled images on which the search compares runs."""
    report: Location
    """Labelled images that the results table reports."""

    def __str__(self) -> str:
        return ", ".join(place for place in (self.adapt, self.select, self.report) if place)


class BenchmarkData(_Reading):
    """One of the eight benchmark tasks, as torchvision lays it out; nothing is downloaded."""

    torchvision: BenchmarkName
    """Name of the task."""
    root: Location
    """torchvision's ``root``; for RESISC45 and SUN397 see distmerge.tasks.benchmarks."""

    def __str__(self) -> str:
        return f"{self.torchvision} in {self.root}"


def _form(value: object) -> str:
    keys = set(value) if isinstance(value, dict) else set()
    if isinstance(value, BenchmarkData) or "torchvision" in keys:
        return "(benchmark)"
    if isinstance(value, RoleData) or keys & set(_ROLES):
        return "(roles)"
    return "(whole)" if isinstance(value, WholeData | dict) else "(folder)"


def _url_form(value: object) -> object:
    return {"path": value} if isinstance(value, str) and is_url(value) else value


# One form is chosen before it is checked, so that errors speak of the form that was meant.
DataFiles = Annotated[
    Annotated[Path, Tag("(folder)")]
    | Annotated[WholeData, Tag("(whole)")]
    | Annotated[RoleData, Tag("(roles)")]
    | Annotated[BenchmarkData, Tag("(benchmark)")],
    Discriminator(_form),
    BeforeValidator(_url_form),
]
