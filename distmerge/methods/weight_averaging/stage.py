"""``theta = (1/K) sum_k theta_k``."""

from distmerge.methods.contract import MergedModel, Plan, Scope
from distmerge.methods.weight_averaging import WeightAveraging
from distmerge.taskvectors import uniform


def build(_hyper: WeightAveraging, model: MergedModel, _scope: Scope) -> Plan:
    """Plan the mean of the fine-tuned weights: every coefficient is ``1/K``.

    Source: algorithms.md 3.1.
    """
    return Plan((), lambda: model.merged(uniform(model.vectors)))
