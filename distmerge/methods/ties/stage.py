"""``theta = theta0 + scaling * sum_k selected(tau)_k``."""

from dataclasses import replace

import torch

from distmerge.methods.contract import MergedModel, Plan, Scope
from distmerge.methods.ties import Ties
from distmerge.taskvectors import Selection, selected


def build(hyper: Ties, model: MergedModel, _scope: Scope) -> Plan:
    """Plan the merge of the selected task vectors. Source: arXiv:2306.01708; algorithms.md 3.3."""
    selection = Selection(hyper.density, hyper.aggregate, hyper.trim_rule, hyper.text_parameters)
    thinned = replace(model, vectors=selected(model.vectors, selection))
    coefficients = torch.full(model.coefficients.shape, hyper.scaling, dtype=torch.float64)
    return Plan((), lambda: thinned.merged(coefficients))
