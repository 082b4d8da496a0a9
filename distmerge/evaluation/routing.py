"""Whether a router knows whose image it sees, and whether a model knows when it errs."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from distmerge.errors import DivergenceError
from distmerge.evaluation.metrics import accuracy, calibration_error


def routing_accuracy(named: Int[Tensor, " sample"], expert: int) -> float:
    """Give the share of images for which the true task is named, in ``[0, 1]``."""
    return float((named == expert).double().mean())


def routing_weight(routing: Float[Tensor, "sample task"], expert: int) -> float:
    """Give the mean weight of the true task."""
    return float(routing[:, expert].double().mean())


def withheld_accuracy(
    named: Int[Tensor, " sample"], right: Bool[Tensor, " sample"], expert: int
) -> float:
    """Give the share of images for which the true task is named, and its head gives their class.

    Where another task is named, its head answers, and no class of its own is right.
    """
    return float(((named == expert) & right).double().mean())


def unified_accuracy(
    logits: Sequence[Float[Tensor, "sample _"]], labels: Int[Tensor, " sample"], expert: int
) -> float:
    """Give the accuracy over the classes of all tasks side by side, one per (task, class) pair.

    Args:
        logits: of every task's head.
        labels: classes of the true task.
        expert: number of the true task.

    Raises:
        DataError: there are no images.
        DivergenceError: a logit is not a number.
    """
    before = sum(part.shape[1] for part in logits[:expert])
    return accuracy(torch.cat(list(logits), dim=1), labels + before)


def uncertainty_ece(uncertainty: Float[Tensor, " sample"], right: Bool[Tensor, " sample"]) -> float:
    """Give how far ``1 - uncertainty`` is from accuracy, over 15 bins, in ``[0, 1]``.

    Raises:
        DivergenceError: an uncertainty is not a number.
    """
    return calibration_error(1 - _numbers(uncertainty), right)


def uncertainty_auroc(
    uncertainty: Float[Tensor, " sample"], right: Bool[Tensor, " sample"]
) -> float:
    """Give the probability that a wrong answer is less certain than a right one, in ``[0, 1]``.

    A tie counts half. Without a wrong answer, or without a right one, there is nothing to tell
    apart: 0.5, as for a guess.

    Raises:
        DivergenceError: an uncertainty is not a number.
    """
    values = _numbers(uncertainty)
    of_wrong, of_right = values[~right], values[right].sort().values
    if not len(of_wrong) or not len(of_right):
        return 0.5
    below = torch.searchsorted(of_right, of_wrong)
    up_to = torch.searchsorted(of_right, of_wrong, right=True)
    return float((below + up_to).double().mean() / (2 * len(of_right)))


def nearest_centroid(
    features: Float[Tensor, "sample feature"], tasks: Sequence[Float[Tensor, "_ feature"]]
) -> Int[Tensor, " sample"]:
    """Give the number of the task whose images are nearest: by their mean, all at length 1.

    Args:
        features: of the images to place.
        tasks: features of every task's images.
    """
    centroids = torch.stack([normalize(task, dim=1).mean(dim=0) for task in tasks])
    return torch.cdist(normalize(features, dim=1), centroids).argmin(dim=1)


def _numbers(uncertainty: Float[Tensor, " sample"]) -> Float[Tensor, " sample"]:
    if bool(uncertainty.isnan().any()):
        bad = int(uncertainty.isnan().sum())
        raise DivergenceError(
            f"uncertainties of {bad} of {len(uncertainty)} images are not numbers (NaN)"
        )
    return uncertainty.double()
