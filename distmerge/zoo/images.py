"""Where a task's images come from: one declaration per kind of source."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from distmerge.spec import Frozen
from distmerge.zoo.packages import DebianPackage, NpmPackage, RegistryPackage

Role = Literal["train", "adapt", "select", "report"]
Side = Literal["train", "adapt", "report"]
"""A region, block or font face belongs to one side; select shares the side of adapt."""

ROLES: tuple[Role, ...] = ("train", "adapt", "select", "report")
SIDE_OF: dict[Role, Side] = {
    "train": "train",
    "adapt": "adapt",
    "select": "adapt",
    "report": "report",
}

Range = tuple[PositiveFloat, PositiveFloat]
"""Smallest and largest value of a random number."""


class Images(Frozen):
    """What all kinds of sources have in common."""

    @property
    def packages(self) -> tuple[RegistryPackage, ...]:
        """Packages that only this source reads."""
        return ()


class Digits(Images):
    """Scanned digits of scikit-learn; consecutive rows, so that writers are mostly kept apart."""

    kind: Literal["digits"] = "digits"
    source: str = "scikit-learn"
    """Where the images come from."""
    first_row: dict[Role, NonNegativeInt]
    """First row of every role."""


class Tiles(Images):
    """Satellite tiles labelled by climate zone; held-out blocks of the map."""

    kind: Literal["tiles"] = "tiles"
    source: str
    """Where the images come from."""
    zones: dict[str, PositiveInt]
    """Koeppen zone and its number on the zone map."""
    block: PositiveInt
    """Side of a block in pixels of the image; a tile lies within one block."""
    block_rows: PositiveInt
    """Rows of blocks used, from the north."""
    step: PositiveInt
    """Distance between neighbouring tiles in pixels."""
    purity: PositiveFloat
    """Share of a tile that its zone must cover at least."""
    shares: dict[Side, PositiveFloat]
    """Share of the blocks on every side."""
    split: NonNegativeInt
    """Addresses the draw of the blocks' sides."""


class Photos(Images):
    """Windows of photographs, one class per photograph; each side has its own region of it."""

    kind: Literal["photos"] = "photos"
    source: str = "scikit-image and scikit-learn"
    """Where the images come from."""
    photographs: dict[str, Literal["skimage", "sklearn"]]
    """Photograph and the package that carries it."""
    height: PositiveInt
    """Height in pixels to which photographs are scaled."""
    train_width: PositiveFloat
    """Left share of a photograph that is for training."""
    window: tuple[PositiveInt, PositiveInt]
    """Smallest and largest side of a window in pixels."""
    brightness: tuple[PositiveFloat, PositiveFloat]
    """Darkest and brightest factor."""
    least_contrast: PositiveFloat
    """Windows whose grey values deviate less are refused: nobody could name an empty sky."""


class Lettering(Images):
    """How characters are rendered, one class per character."""

    characters: str = Field(min_length=2)
    """One class per character."""
    points: PositiveInt
    """Size of the rendered glyph in points, before it is placed."""
    extent: tuple[PositiveFloat, PositiveFloat]
    """Smallest and largest share of the image that the longer side takes."""
    offset: tuple[PositiveFloat, PositiveFloat]
    """Range of the position, as a share of the free space."""
    rotation: PositiveFloat
    """Largest angle in degrees, to both sides."""
    least_contrast: PositiveFloat
    """Least difference of brightness between ink and paper."""


class Glyphs(Lettering):
    """Characters rendered from the fonts of matplotlib; held-out faces."""

    kind: Literal["glyphs"] = "glyphs"
    source: str = "the fonts of matplotlib"
    """Where the images come from."""
    faces: dict[Side, tuple[str, ...]]
    """Font files of every side."""


class Typefaces(Lettering):
    """Characters rendered from packaged fonts; held-out font families."""

    kind: Literal["typefaces"] = "typefaces"
    source: str
    """Where the images come from."""
    fonts: tuple[DebianPackage, ...]
    """Packages whose fonts are used, where they have all the characters."""
    held_out: dict[Literal["adapt", "report"], tuple[str, ...]]
    """Families that do not train; a name stands for all families that begin with it."""

    @property
    def packages(self) -> tuple[RegistryPackage, ...]:
        """Packages that only this source reads."""
        return self.fonts


class Scans(Images):
    """A data set in IDX files: the last training rows adapt, the official test rows report."""

    kind: Literal["scans"] = "scans"
    source: str
    """Where the images come from."""
    package: RegistryPackage
    """The package that carries the files."""
    folder: str
    """Where the four files lie in it."""
    classes: tuple[str, ...]
    """Names of the classes."""
    adapt_rows: PositiveInt
    """Rows at the end of the official training file that do not train."""

    @property
    def packages(self) -> tuple[RegistryPackage, ...]:
        """Packages that only this source reads."""
        return (self.package,)


class FlagSet(Frozen):
    """Flags drawn by one hand."""

    package: RegistryPackage
    """A collection of icons, or pictures in a Debian package."""
    name: str
    """Name of an icon or path of a picture, with ``{code}`` for the country."""


class Flags(Images):
    """Flags pasted on photographs; held-out art and held-out photographs.

    Classes are countries, so adapt and report share the held-out art; they differ by photograph.
    """

    kind: Literal["flags"] = "flags"
    source: str
    """Where the images come from."""
    codes: tuple[str, ...]
    """One class per country."""
    art: tuple[FlagSet, ...]
    """Sets that train."""
    held_out: FlagSet
    """The set that does not train."""
    backgrounds: dict[Side, dict[str, Literal["skimage", "sklearn"]]]
    """Photographs of every side and the packages that carry them."""
    height: PositiveInt
    """Height in pixels to which photographs are scaled."""
    extent: Range
    """Smallest and largest share of the image that the longer side takes."""
    stretch: Range
    """Range of the factor on the height."""
    offset: Range
    """Range of the position, as a share of the free space."""
    rotation: PositiveFloat
    """Largest angle in degrees, to both sides."""
    brightness: Range
    """Darkest and brightest factor."""
    contrast: Range
    """Smallest and largest factor."""
    colour: Range
    """Smallest and largest factor on the saturation."""
    blur: Range
    """Range of the radius in pixels of the oversampled image, in half of the images."""
    noise: NonNegativeFloat
    """Largest standard deviation of the noise, in grey values."""

    @property
    def packages(self) -> tuple[RegistryPackage, ...]:
        """Packages that only this source reads."""
        return tuple(flags.package for flags in (*self.art, self.held_out))


class Emoji(Images):
    """Emoji of several sets, one class per category of Unicode; held-out emoji."""

    kind: Literal["emoji"] = "emoji"
    source: str
    """Where the images come from."""
    categories: tuple[str, ...]
    """One class per category."""
    categorised_by: NpmPackage
    """The set whose metadata give the names and categories; one set, as names differ."""
    drawn_by: tuple[NpmPackage, ...]
    """Sets whose pictures are used."""
    shares: dict[Side, PositiveFloat]
    """Share of the emoji on every side."""
    split: NonNegativeInt
    """Addresses the draw of the emoji's sides."""
    extent: Range
    """Smallest and largest share of the image that the longer side takes."""
    offset: Range
    """Range of the position, as a share of the free space."""
    rotation: PositiveFloat
    """Largest angle in degrees, to both sides."""
    darkest_paper: NonNegativeFloat
    """Least value of a paper's red, green and blue."""

    @property
    def packages(self) -> tuple[RegistryPackage, ...]:
        """Packages that only this source reads."""
        return tuple(dict.fromkeys((self.categorised_by, *self.drawn_by)))


class TextureSet(Frozen):
    """Pictures of textures of about one size."""

    package: DebianPackage
    """The package that carries the pictures."""
    folder: str
    """Where they lie in it."""
    files: tuple[str, ...]
    """One class per picture."""
    window: tuple[PositiveInt, PositiveInt]
    """Smallest and largest side of a window in pixels."""


class Textures(Images):
    """Windows of textures, one class per texture; each side has its own region of it."""

    kind: Literal["textures"] = "textures"
    source: str
    """Where the images come from."""
    sets: tuple[TextureSet, ...]
    """Where the textures lie."""
    train_width: PositiveFloat
    """Left share of a texture that is for training."""
    brightness: Range
    """Darkest and brightest factor."""
    contrast: Range
    """Smallest and largest factor."""
    colour: Range
    """Smallest and largest factor on the saturation."""
    least_contrast: PositiveFloat
    """Windows whose grey values deviate less are refused: nobody could name a blank one."""

    @property
    def packages(self) -> tuple[RegistryPackage, ...]:
        """Packages that only this source reads."""
        return tuple(textures.package for textures in self.sets)


SampledImages = Tiles | Photos | Glyphs | Typefaces | Scans | Flags | Emoji | Textures
"""Sources that give random images of a class."""

AnyImages = Digits | SampledImages
