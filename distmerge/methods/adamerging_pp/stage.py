"""AdaMerging on the rows that TIES selects, before any aggregation."""

from dataclasses import replace

from distmerge.methods.adamerging_pp import AdaMergingPlusPlus
from distmerge.methods.contract import MergedModel, Plan, Scope
from distmerge.methods.entropy import adapt_coefficients
from distmerge.taskvectors import Selection, selected


def build(hyper: AdaMergingPlusPlus, model: MergedModel, scope: Scope) -> Plan:
    """Plan the adaptation of all coefficients of the selected task vectors.

    At the start it is TIES with dis-sum and ``scaling = init``. Source: algorithms.md 3.4.
    """
    selection = Selection(
        hyper.density, trim_rule=hyper.trim_rule, text_parameters=hyper.text_parameters
    )
    thinned = replace(model, vectors=selected(model.vectors, selection))
    return adapt_coefficients(hyper, thinned, scope)
