"""Takes logits and labels; gives metrics per suite, task and their means."""

from distmerge.evaluation.baselines import nearest_centroid_metrics, one_expert_metrics
from distmerge.evaluation.exam import Exam, exam_metrics, routed_exam_metrics
from distmerge.evaluation.metrics import (
    accuracy,
    agreement,
    calibration_error,
    expected_calibration_error,
)
from distmerge.evaluation.routing import (
    nearest_centroid,
    routing_accuracy,
    routing_weight,
    uncertainty_auroc,
    uncertainty_ece,
    unified_accuracy,
    withheld_accuracy,
)
from distmerge.evaluation.suites import (
    Labels,
    clean_metrics,
    corrupted_metrics,
    on_level,
    on_unseen,
    routed_metrics,
    score_metric,
    select_metrics,
    uncertainty_metrics,
    unseen_metrics,
)
from distmerge.results import MEAN

__all__ = [
    "MEAN",
    "Exam",
    "Labels",
    "accuracy",
    "agreement",
    "calibration_error",
    "clean_metrics",
    "corrupted_metrics",
    "exam_metrics",
    "expected_calibration_error",
    "nearest_centroid",
    "nearest_centroid_metrics",
    "on_level",
    "on_unseen",
    "one_expert_metrics",
    "routed_exam_metrics",
    "routed_metrics",
    "routing_accuracy",
    "routing_weight",
    "score_metric",
    "select_metrics",
    "uncertainty_auroc",
    "uncertainty_ece",
    "uncertainty_metrics",
    "unified_accuracy",
    "unseen_metrics",
    "withheld_accuracy",
]
