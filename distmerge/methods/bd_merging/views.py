"""Altered copies of adapt images, so that the router knows a task's images when they look worse."""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from distmerge.methods.bd_merging.model import Reader
from distmerge.methods.bd_merging.pool import Pool, tokens_of
from distmerge.models import address_seed, initialised
from distmerge.tasks import Samples, array_digest

_SEVERITY = 8  # of AugMix, out of 10


def view_tokens(
    pool: Pool, read: Reader, num_views: int, seed: int
) -> Float[Tensor, "view image width"]:
    """Give the tokens of all images as they are, then of ``num_views`` altered copies of each."""
    views = [pool.tokens]
    for view in range(num_views):
        copies = [altered(images, seed, task, view) for task, images in pool.images.items()]
        views.append(tokens_of(copies, pool.preprocess, read, pool.tokens.device))
    return torch.stack(views)


def altered(images: Samples, seed: int, task: str, view: int) -> Samples:
    """Give one copy of every image, altered by AugMix with the random numbers of its address.

    Its operations (posterise, equalise, rotate, shear and the like) were chosen to be none of the
    corruptions that models are tested on. Source: Hendrycks et al., arXiv:1912.02781; torchvision.
    """
    from torchvision.transforms import v2

    mix = v2.AugMix(severity=_SEVERITY, all_ops=False)

    def copy(index: int) -> UInt8[np.ndarray, "height width 3"]:
        image = torch.from_numpy(np.array(images.array[index])).permute(2, 0, 1)
        changed = initialised(lambda: mix(image), seed, task, "view", view, index)
        made: UInt8[np.ndarray, "height width 3"] = changed.permute(1, 2, 0).numpy()
        return made

    pixels = np.stack([copy(index) for index in range(len(images))])
    return Samples(pixels, array_digest(pixels))


def drawn_views(
    num_views: int, tasks: Iterable[str], size: int, seed: int, step: int
) -> Int64[Tensor, " drawn"]:
    """Give which view of a step's images is read, each as likely: ``size`` per task, by address."""
    parts = []
    for task in tasks:
        generator = torch.Generator().manual_seed(address_seed(seed, task, "views", step))
        parts.append(torch.randint(num_views, (size,), generator=generator))
    return torch.cat(parts)
