"""Whether a run's rows of the suite ``adapt`` look like a collapse; no label is needed to tell."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from distmerge.results.record import Metric

_ROUNDING = 1e-9  # of a mean of shares; one image in a million is more
_Values: TypeAlias = Mapping[tuple[str, str], float]  # by metric and task

ADAPT = "adapt"
"""The suite of what a method that learns says about its adapt images, without labels."""
MEAN = "mean"
"""The task of a mean over tasks."""


def suspicions(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """Give what looks like a collapse, in words, by task; nothing where a run did not learn.

    A task is suspect whose marginal entropy is below half of its individual model's, or that
    predicts fewer than half of the classes that its individual model predicts. A run is
    suspect that agrees less with the individual models than weight averaging does on the same
    images; the tasks that it lost on are named, worst first.
    """
    found = {(m.metric, m.task): m.value for m in metrics if m.suite == ADAPT}
    tasks = [task for metric, task in found if metric == "agreement" and task != MEAN]
    narrow = tuple(f"{task}: {_classes(found, task)}" for task in tasks if _narrow(found, task))
    lost = {task: _gain(found, task) for task in tasks if _gain(found, task) < 0}
    if not tasks or _gain(found, MEAN) > -_ROUNDING:
        return narrow
    mine, other = found["agreement", MEAN], found["averaging_agreement", MEAN]
    worst_first = ", ".join(sorted(lost, key=lambda task: lost[task]))
    return (*narrow, f"agreement {mine:.3f}, weight averaging {other:.3f} ({worst_first})")


def _narrow(found: _Values, task: str) -> bool:
    is_sure = 2 * found["marginal_entropy", task] < found["individual_entropy", task]
    return is_sure or 2 * found["predicted_classes", task] < 1


def _classes(found: _Values, task: str) -> str:
    own = found["individual_classes", task]
    return f"{found['predicted_classes', task] * own:.0f} of {own:.0f} classes"


def _gain(found: _Values, task: str) -> float:
    return found["agreement", task] - found["averaging_agreement", task]
