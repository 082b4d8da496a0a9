"""AdaMerging on the task vectors as they are."""

from distmerge.methods.adamerging import AdaMerging
from distmerge.methods.contract import MergedModel, Plan, Scope
from distmerge.methods.entropy import adapt_coefficients


def build(hyper: AdaMerging, model: MergedModel, scope: Scope) -> Plan:
    """Plan the adaptation of all coefficients. Source: arXiv:2310.02575; algorithms.md 3.4."""
    return adapt_coefficients(hyper, model, scope)
