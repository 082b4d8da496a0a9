"""A step's address, and a point in the tiny world where gradients are taken."""

from collections.abc import Sequence

import torch

from distmerge.methods.contract import Draw
from distmerge.methods.losses import Teacher

DRAW = Draw(seed=0, step=3, batch_size=4, batches=2)
START = torch.full((3, 32), 0.3, dtype=torch.float64)
TASKS = ("alpha", "beta", "gamma")


def untaught(tasks: Sequence[str], draw: Draw) -> dict[str, Teacher]:
    """Give teachers for losses that do not listen to them."""
    nothing = Teacher(torch.zeros(draw.size, dtype=torch.int64), torch.zeros(draw.size))
    return dict.fromkeys(tasks, nothing)
