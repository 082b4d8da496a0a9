"""All that a study measures of a model, suite after suite."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from distmerge.evaluation.suites import (
    Criterion,
    Labels,
    clean_metrics,
    corrupted_metrics,
    on_level,
    on_unseen,
    routed_metrics,
    select_metrics,
    uncertainty_metrics,
    unseen_metrics,
)
from distmerge.methods.contract import Answers, IndividualModels
from distmerge.models import Head
from distmerge.results import Metric
from distmerge.tasks import Level, Role, Task, corruption_of

LogitsOf: TypeAlias = Callable[[str, Role], Float[Tensor, "_ _"]]  # of a task's images of a role
AnswersOf: TypeAlias = Callable[[str, Role], Answers]


@dataclass(frozen=True)
class Exam:
    """Whose images a study measures on, and by what."""

    tasks: tuple[Task, ...]
    unseen: tuple[Task, ...]
    criterion: Criterion
    levels: tuple[Level, ...]
    corruption_seed: int
    models: IndividualModels

    @property
    def labels(self) -> Labels:
        """Labels of the merged tasks' report images."""
        return _report_labels(self.tasks)


def exam_metrics(exam: Exam, logits: LogitsOf) -> tuple[Metric, ...]:
    """Give the metrics of a model on all suites."""
    names = [task.name for task in exam.tasks]
    select = select_metrics(
        {name: logits(name, "select") for name in names},
        {name: exam.models.facts(name, name, "select").logits for name in names},
        lambda: {task.name: torch.from_numpy(task.select.labels) for task in exam.tasks},
        exam.criterion,
    )
    clean = clean_metrics({name: logits(name, "report") for name in names}, exam.labels)
    return (*select, *clean, *_corrupted(exam, logits), *_unseen(exam, logits))


def routed_exam_metrics(
    exam: Exam, answers: AnswersOf, heads: Mapping[str, Head]
) -> tuple[Metric, ...]:
    """Give the metrics of a routed model on all suites; it answers every image once.

    Of tasks that were not merged there is no routing to measure: no weight is theirs.

    Args:
        exam: its tasks are in the order of the routing's columns.
        answers: of a task's images of a role.
        heads: of all tasks.
    """
    known = cache(answers)
    merged = {task.name: heads[task.name] for task in exam.tasks}
    rows = exam_metrics(exam, lambda task, role: heads[task](known(task, role).features))
    rows += routed_metrics({name: known(name, "report") for name in merged}, merged, exam.labels)
    for level in exam.levels:
        found = {name: known(name, level) for name in merged}
        rows += on_level(routed_metrics(found, merged, exam.labels), level)
    if not exam.unseen:
        return rows
    unseen = {task.name: known(task.name, "report") for task in exam.unseen}
    return rows + on_unseen(uncertainty_metrics(unseen, heads, _report_labels(exam.unseen)))


def _corrupted(exam: Exam, logits: LogitsOf) -> tuple[Metric, ...]:
    rows: list[Metric] = []
    for level in exam.levels:
        names = {
            task.name: [
                corruption_of(exam.corruption_seed, task.name, index, level).name
                for index in range(len(task.report))
            ]
            for task in exam.tasks
        }
        found = {task.name: logits(task.name, level) for task in exam.tasks}
        rows += corrupted_metrics(level, found, exam.labels, names)
    return tuple(rows)


def _unseen(exam: Exam, logits: LogitsOf) -> tuple[Metric, ...]:
    if not exam.unseen:
        return ()
    found = {task.name: logits(task.name, "report") for task in exam.unseen}
    return unseen_metrics(found, _report_labels(exam.unseen))


def _report_labels(tasks: tuple[Task, ...]) -> Labels:
    return {task.name: torch.from_numpy(task.report.labels) for task in tasks}
