"""A zoo of two small tasks and an untrained tower, in the form of the real recipe."""

from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

from distmerge.models import Tower, save_state
from distmerge.spec import Preprocess, TowerConfig
from distmerge.zoo.build import build
from distmerge.zoo.folder import ZooFolder, write_json
from distmerge.zoo.images import Glyphs, Role
from distmerge.zoo.recipe import FineTuning, Recipe, TaskRecipe
from distmerge.zoo.tiny import TINY
from tests.world import random_weights

COUNTS: dict[Role, int] = {"train": 60, "adapt": 8, "select": 20, "report": 8}
GLYPHS = Glyphs(
    characters="IO",
    faces={
        "train": ("DejaVuSans", "STIXGeneral"),
        "adapt": ("DejaVuSerif-Bold",),
        "report": ("DejaVuSerif",),
    },
    points=24,
    extent=(0.6, 0.9),
    offset=(0.35, 0.65),
    rotation=8.0,
    least_contrast=70.0,
)
RECIPE = TINY.model_copy(
    update={
        "name": "toy",
        "side": 16,
        "tower": TowerConfig(
            image_size=16,
            patch_size=8,
            width=16,
            layers=1,
            heads=2,
            output_dim=8,
            preprocess=Preprocess(size=16, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
        ),
        "fine_tuning": FineTuning(
            epochs=60, batch=20, lr=5e-3, weight_decay=0.0, warmup_steps=5, max_grad_norm=1.0
        ),
        "tasks": (
            TaskRecipe(name="upright", images=GLYPHS, counts=COUNTS),
            TaskRecipe(
                name="round", images=GLYPHS.model_copy(update={"characters": "LS"}), counts=COUNTS
            ),
        ),
    }
)
"""A recipe that is built in seconds, once its base is there."""


def with_base(folder: Path, recipe: Recipe = RECIPE) -> ZooFolder:
    """Give the folder of a zoo whose untrained tower lies there, so that no wheel is needed."""
    zoo = ZooFolder(folder)
    folder.mkdir(parents=True)
    save_state(zoo.base, random_weights(Tower(recipe.tower), seed=0))
    write_json(zoo.tower, recipe.tower.model_dump(mode="json"))
    return zoo


def built(zoo: ZooFolder, recipe: Recipe = RECIPE) -> list[str]:
    """Build a zoo in this process; give the lines of progress."""
    lines: list[str] = []
    pool: Executor
    with ThreadPoolExecutor(1) as pool:
        build(recipe, zoo, {}, pool, lines.append)
    return lines
