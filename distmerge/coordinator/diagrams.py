"""What diagrams of answers show: how often sure answers are right, and where images are sent."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

BINS = 15
"""Those of ``evaluation.calibration_error``: of equal width, the upper end included."""


def bin_sums(
    confidence: Float[Tensor, " sample"], right: Bool[Tensor, " sample"]
) -> Float[Tensor, "bin 3"]:
    """Give per bin of confidence its images, and the sums of confidence and of right answers."""
    edges = torch.arange(1, BINS, dtype=torch.float64) / BINS
    rows = torch.stack([torch.ones_like(confidence), confidence, right], dim=1).double()
    numbers = torch.bucketize(confidence.double(), edges)
    return torch.zeros(BINS, 3, dtype=torch.float64).index_add(0, numbers, rows)


def reliability(sums: Float[Tensor, "bin 3"]) -> Float[Tensor, "bin 3"]:
    """Give a reliability diagram of ``bin_sums``: per bin its images, mean confidence, accuracy.

    An empty bin has no mean: NaN.
    """
    return torch.cat([sums[:, :1], sums[:, 1:] / sums[:, :1]], dim=1)


def routing_tensors(
    task: str, weights: Float[Tensor, "image expert"], num_images: int
) -> dict[str, Tensor]:
    """Give where a task's images are sent.

    ``sent.TASK``: the share of the images that every expert gets; ``weights.TASK``: mean and
    standard deviation of every expert's weight; ``routing.TASK``: the weights of the first images.
    """
    counts = weights.argmax(dim=1).bincount(minlength=weights.shape[1])
    exact = weights.double()
    return {
        f"sent.{task}": counts / len(weights),
        f"weights.{task}": torch.stack([exact.mean(dim=0), exact.std(dim=0, correction=0)]),
        f"routing.{task}": weights[:num_images].half(),
    }
