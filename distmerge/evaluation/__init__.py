"""Takes logits and labels; gives metrics per suite, task and their means."""

from distmerge.evaluation.metrics import accuracy, agreement, expected_calibration_error
from distmerge.evaluation.suites import (
    MEAN,
    Labels,
    clean_metrics,
    corrupted_metrics,
    score_metric,
    select_metrics,
    unseen_metrics,
)

__all__ = [
    "MEAN",
    "Labels",
    "accuracy",
    "agreement",
    "clean_metrics",
    "corrupted_metrics",
    "expected_calibration_error",
    "score_metric",
    "select_metrics",
    "unseen_metrics",
]
