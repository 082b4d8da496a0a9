"""``theta = (1/K) sum_k theta_k``."""

import torch

from distmerge.methods.contract import MergedModel, Plan, Scope
from distmerge.methods.weight_averaging import WeightAveraging


def build(_hyper: WeightAveraging, model: MergedModel, _scope: Scope) -> Plan:
    """Plan the mean of the fine-tuned weights: every coefficient is ``1/K``.

    Source: algorithms.md 3.1.
    """
    num_tasks = len(model.vectors.tasks)
    coefficients = torch.full(model.coefficients.shape, 1 / num_tasks, dtype=torch.float64)
    return Plan((), lambda: model.merged(coefficients))
