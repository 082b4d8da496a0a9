"""Takes logits and labels; gives metrics per suite, task and their means."""

from distmerge.evaluation.metrics import accuracy, agreement, expected_calibration_error
from distmerge.evaluation.suites import MEAN, clean_metrics, score_metric, select_metrics

__all__ = [
    "MEAN",
    "accuracy",
    "agreement",
    "clean_metrics",
    "expected_calibration_error",
    "score_metric",
    "select_metrics",
]
