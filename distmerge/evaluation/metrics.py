"""How good logits are: accuracy, agreement with another model, calibration."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from distmerge.errors import DataError, DivergenceError


def accuracy(logits: Float[Tensor, "sample class"], labels: Int[Tensor, " sample"]) -> float:
    """Give the share of images whose largest logit is the label's, in ``[0, 1]``.

    Raises:
        DataError: there are no images.
        DivergenceError: a logit is not a number.
    """
    return float(hits(logits, labels).double().mean())


def hits(
    logits: Float[Tensor, "sample class"], labels: Int[Tensor, " sample"]
) -> Bool[Tensor, " sample"]:
    """Give which images' largest logit is the label's.

    Raises:
        DataError: there are no images.
        DivergenceError: a logit is not a number.
    """
    return _predictions(logits) == labels


def agreement(
    logits: Float[Tensor, "sample class"], other_predictions: Int[Tensor, " sample"]
) -> float:
    """Give the share of images on which two models predict the same class, in ``[0, 1]``.

    Raises:
        DataError: there are no images.
        DivergenceError: a logit is not a number.
    """
    return accuracy(logits, other_predictions)


def expected_calibration_error(
    logits: Float[Tensor, "sample class"], labels: Int[Tensor, " sample"], *, bins: int = 15
) -> float:
    """Give the calibration error where confidence is the largest softmax probability.

    Of probabilities, pass the log.

    Raises:
        DataError: there are no images.
        DivergenceError: a logit is not a number.
    """
    right = hits(logits, labels)
    return calibration_error(logits.double().softmax(dim=-1).amax(dim=-1), right, bins=bins)


def calibration_error(
    confidence: Float[Tensor, " sample"], right: Bool[Tensor, " sample"], *, bins: int = 15
) -> float:
    """Give how far confidence is from accuracy, over bins of equal width, in ``[0, 1]``.

    ``sum_b n_b / n * |accuracy_b - confidence_b|``, where bin ``b`` is
    ``(b / bins, (b+1) / bins]``; a confidence of 0 is in the first.

    Source: Guo et al., arXiv:1706.04599, eq. 3; algorithms.md 3.7.
    """
    confidence = confidence.double()
    edges = torch.arange(1, bins, dtype=torch.float64, device=confidence.device) / bins
    bin_of_image = torch.bucketize(confidence, edges)  # a confidence on an edge: the lower bin
    gaps = torch.zeros(bins, dtype=torch.float64, device=confidence.device)
    by_bin = gaps.index_add(0, bin_of_image, right.double() - confidence)
    return float(by_bin.abs().sum() / len(right))


def _predictions(logits: Float[Tensor, "sample class"]) -> Int[Tensor, " sample"]:
    if not len(logits):
        raise DataError("no images to measure on, expected at least one")
    if bool(logits.isnan().any()):
        bad = int(logits.isnan().any(dim=-1).sum())
        raise DivergenceError(f"logits of {bad} of {len(logits)} images are not numbers (NaN)")
    return logits.argmax(dim=-1)
