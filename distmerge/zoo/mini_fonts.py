"""The fonts of the zoos mini and mini12, and the families that are held out."""

from distmerge.zoo.images import Typefaces
from distmerge.zoo.packages import DebianPackage


def _fonts(names: str) -> tuple[DebianPackage, ...]:
    return tuple(DebianPackage(package=f"fonts-{name}") for name in names.split())


LETTERS = Typefaces(
    source="fonts of Debian main",
    characters="ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    fonts=_fonts(
        "adf-accanthis adf-baskervald adf-berenis adf-gillius adf-ikarius adf-irianis adf-libris "
        "adf-mekanus adf-oldania adf-romande adf-switzera adf-tribun adf-universalis adf-verana "
        "allerta anonymous-pro arapey averia-sans-gwf averia-serif-gwf b612 bebas-neue breip "
        "cabin campania cantarell cardo century-catalogue clear-sans comfortaa comic-neue "
        "courier-prime crosextra-caladea crosextra-carlito dancingscript dkg-handwriting dosis "
        "ebgaramond ecolier-court essays1743 fanwood femkeklaver go goudybookletter havana "
        "humor-sans inconsolata isabella jetbrains-mono joscelyn junction jura kaushanscript "
        "klaudia-berenika kristi league-spartan leckerli-one liberation lindenhill lobster "
        "manrope monofur mononoki national-park ocr-a oldstandard open-sans opendyslexic oxygen "
        "play prociono quattrocento quicksand radisnoir roboto-slab routed-gothic rufscript "
        "sil-gentium-basic sora summersby tomsontalks tuffy vollkorn yanone-kaffeesatz"
    ),
    held_out={
        "adapt": (
            "Accanthis",
            "Anonymous Pro",
            "B612",
            "Cardo",
            "Comic Neue",
            "Courier Prime",
            "Dosis",
            "EB Garamond",
            "Essays1743",
            "Humor Sans",
            "Kaushan Script",
            "Leckerli One",
            "Liberation Sans",
            "Mekanus",
            "Play",
            "Roboto Slab",
            "Summersby",
            "Tribun",
        ),
        "report": (
            "Cabin",
            "Caladea",
            "Dancing Script",
            "Gentium",
            "Gillius",
            "Goudy",
            "JetBrains Mono",
            "Lobster Two",
            "Old Standard",
            "Open Sans",
            "Quicksand",
            "Routed Gothic",
            "Rufscript",
            "Tuffy",
            "Verana",
            "Vollkorn",
            "Yanone Kaffeesatz",
            "mononoki",
        ),
    },
    points=72,
    extent=(0.62, 0.9),
    offset=(0.35, 0.65),
    rotation=8.0,
    least_contrast=70.0,
)
"""Latin capitals."""

# Families that share their kana, such as Konatu and Komatuna, are on one side.
KANA = LETTERS.model_copy(
    update={
        "characters": "あいうえおかきくけこさしすせそたちつてとなにぬねの"
        "はひふへほまみむめもやゆよらりるれろわをん",
        "fonts": _fonts(
            "aoyagi-kouzan-t aoyagi-soseki dejima-mincho dotgothic16 ipaexfont-gothic "
            "ipaexfont-mincho kiloji komatuna konatu misaki mmcedar mona monapo motoya-l-cedar "
            "motoya-l-maruberi reggae sawarabi-gothic sawarabi-mincho seto stick umeplus vlgothic "
            "yusei-magic"
        ),
        "held_out": {
            "adapt": ("Sawarabi Gothic", "SetoFont", "Stick"),
            "report": ("AoyagiKouzan", "Sawarabi Mincho", "Yusei Magic", "kiloji"),
        },
    }
)
"""Hiragana."""
