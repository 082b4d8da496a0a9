"""What routing can be measured against without merging anything, on clean report images alone.

Other suites would need every model's facts on every suite's images, K times what they hold now.
The third baseline, the same weight for every task ("uniform"), is the method weight averaging.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from distmerge.evaluation.metrics import hits
from distmerge.evaluation.routing import nearest_centroid, routing_accuracy, withheld_accuracy
from distmerge.evaluation.suites import Labels, clean_metrics, task_rows
from distmerge.methods.contract import PRETRAINED, IndividualModels
from distmerge.results import MEAN, Metric


def one_expert_metrics(models: IndividualModels, labels: Labels) -> tuple[Metric, ...]:
    """Give the clean metrics of the one individual model that answers all tasks best.

    Which one that is, its mean accuracy on the very same labels decides: an upper bound of what
    picking one expert can reach, in favour of the baseline.
    """
    by_expert = [
        clean_metrics({task: _report(models, expert, task) for task in labels}, labels)
        for expert in labels
    ]
    return max(by_expert, key=_mean_accuracy)


def nearest_centroid_metrics(models: IndividualModels, labels: Labels) -> tuple[Metric, ...]:
    """Give the clean metrics of individual models to which images are sent by their looks.

    An image is sent to the task whose adapt images have the nearest mean of pretrained features;
    no label is used. ``accuracy`` and ``ece``: that task's model, the true task's head.
    ``accuracy_withheld``: that task's head too.
    """
    adapt = [models.facts(PRETRAINED, task, "adapt").features for task in labels]
    logits, by_task = {}, {}
    for expert, task in enumerate(labels):
        named = nearest_centroid(models.facts(PRETRAINED, task, "report").features, adapt)
        answers = [_report(models, other, task) for other in labels]
        logits[task] = _of_named(answers, named)
        right = hits(logits[task], labels[task])
        by_task[task] = {
            "routing_accuracy": routing_accuracy(named, expert),
            "accuracy_withheld": withheld_accuracy(named, right, expert),
        }
    return (*clean_metrics(logits, labels), *task_rows("clean", by_task))


def _report(models: IndividualModels, model: str, task: str) -> Float[Tensor, "sample class"]:
    return models.facts(model, task, "report").logits


def _of_named(
    logits: Sequence[Float[Tensor, "sample class"]], named: Int64[Tensor, " sample"]
) -> Float[Tensor, "sample class"]:
    return torch.stack(list(logits))[named, torch.arange(len(named))]


def _mean_accuracy(rows: Sequence[Metric]) -> float:
    return next(row.value for row in rows if (row.task, row.metric) == (MEAN, "accuracy"))
