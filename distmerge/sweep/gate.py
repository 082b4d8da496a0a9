"""The gate in front of all trials: models that are not better than the pretrained one."""

from collections.abc import Callable, Iterator

import torch

from distmerge.errors import CheckpointError, problem_list
from distmerge.evaluation import accuracy
from distmerge.methods.contract import PRETRAINED
from distmerge.run import Session

_TITLE = "fine-tuned models that are not better than the pretrained one on their own task"
_CAUSES = (
    "likely causes: the checkpoints of two tasks are swapped, a head belongs to another task or "
    "has another order of classes, or the tower's activation (quick_gelu) or preprocessing is not "
    "that of the training"
)
_OVERRIDE = "if the models are meant as they are: sanity: warn, or sanity: off, in the study"


def check_sanity(session: Session, report: Callable[[str], None]) -> None:
    """Compare every merged task's own model with the pretrained one, as the study asks.

    It reads the labels of the select images, whatever the search goes by; ``sanity: off`` does not.

    Raises:
        CheckpointError: lists the tasks whose model is not better, with ``sanity: error``.
    """
    if session.study.sanity == "off":
        return
    problems = list(_not_better(session))
    if not problems:
        return
    message = problem_list(_TITLE, [*problems, _CAUSES, _OVERRIDE])
    if session.study.sanity == "error":
        raise CheckpointError(message)
    report(f"warning: {message}")


def _not_better(session: Session) -> Iterator[str]:
    for task in session.material.tasks:
        labels = torch.from_numpy(task.select.labels)
        own, base = (
            accuracy(session.models.facts(model, task.name, "select").logits, labels)
            for model in (task.name, PRETRAINED)
        )
        if own <= base < 1:
            yield f"task {task.name}: select accuracy {own:.3f}; the pretrained model's {base:.3f}"
