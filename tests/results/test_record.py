import pickle

from distmerge.results import Metric
from tests.results.records import RECORD


def test_a_record_travels_between_processes() -> None:
    assert pickle.loads(pickle.dumps(RECORD)) == RECORD


def test_a_metric_is_of_clean_images_unless_it_says_otherwise() -> None:
    metric = Metric("clean", "mean", "accuracy", 0.5)
    assert (metric.corruption, metric.severity, metric.level) == (None, None, None)
