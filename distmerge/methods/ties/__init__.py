"""TIES-Merging: trim, elect sign, select, then merge."""

from typing import Annotated, Literal

from pydantic import Field

from distmerge.methods.declaration import Method
from distmerge.spec import Choice, Hyper, Uniform


class Ties(Hyper):
    """Settings of TIES-Merging; the defaults are those behind the published CLIP numbers."""

    density: Annotated[float, Field(gt=0, le=1), Choice((0.1, 0.2, 0.3))] = 0.2
    """Share of every task vector that is kept, a fraction in (0, 1]."""
    aggregate: Literal["sum", "mean", "max"] = "sum"
    """Of the parameters that agree with the elected sign: dis-sum, dis-mean or dis-max."""
    scaling: Annotated[float, Field(ge=0, le=2), Uniform(0.1, 1.0)] = 0.3
    """Factor of what is left; 0.3 goes with sum, about 1 with mean."""
    trim_rule: Literal["exact", "reference"] = "exact"
    """reference keeps one parameter more, as the authors' code does."""
    text_parameters: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Parameters outside the tower that the reference counts in the density: 25599489 for ViT-B/32
    and ViT-B/16, 38595841 for ViT-L/14. They are zero and fill up what is trimmed."""


METHOD = Method(
    name="ties",
    title="TIES-Merging",
    paper="Yadav et al., TIES-Merging, arXiv:2306.01708",
    summary="theta = theta0 + scaling * sum_k of tau_k, trimmed and of the elected sign",
    hyper=Ties,
    random=False,
)
