"""Weight averaging: the mean of the fine-tuned weights."""

from distmerge.methods.declaration import Method
from distmerge.spec import Hyper


class WeightAveraging(Hyper):
    """Nothing to set."""


METHOD = Method(
    name="weight_averaging",
    title="Weight Averaging",
    paper="Wortsman et al., Model soups, arXiv:2203.05482",
    summary="theta = mean of the fine-tuned weights",
    hyper=WeightAveraging,
    random=False,
)
