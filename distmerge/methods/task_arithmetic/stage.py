"""``theta = theta0 + scaling * sum_k tau_k``."""

import torch

from distmerge.methods.contract import MergedModel, Plan, Scope
from distmerge.methods.task_arithmetic import TaskArithmetic


def build(hyper: TaskArithmetic, model: MergedModel, _scope: Scope) -> Plan:
    """Plan the base plus the scaled sum of task vectors.

    Source: arXiv:2212.04089, eq. 1; algorithms.md 3.2.
    """
    coefficients = torch.full(model.coefficients.shape, hyper.scaling, dtype=torch.float64)
    return Plan((), lambda: model.merged(coefficients))
