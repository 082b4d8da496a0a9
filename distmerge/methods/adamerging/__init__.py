"""AdaMerging: merging coefficients that minimise the entropy of unlabelled predictions."""

from distmerge.methods.adaptation import CoefficientAdaptation
from distmerge.methods.declaration import Method


class AdaMerging(CoefficientAdaptation):
    """Settings of AdaMerging; the defaults are the paper's layer-wise preset."""


METHOD = Method(
    name="adamerging",
    title="AdaMerging",
    paper="Yang et al., AdaMerging, arXiv:2310.02575",
    summary="theta = theta0 + sum_k lambda[k, l] tau_k, lambda by test-time entropy",
    hyper=AdaMerging,
)
