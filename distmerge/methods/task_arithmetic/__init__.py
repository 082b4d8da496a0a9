"""Task Arithmetic: the base plus the scaled sum of task vectors."""

from typing import Annotated

from pydantic import Field

from distmerge.methods.declaration import Method
from distmerge.spec import Hyper, Uniform


class TaskArithmetic(Hyper):
    """Settings of Task Arithmetic."""

    scaling: Annotated[float, Field(ge=0, le=2), Uniform(0.05, 0.6)] = 0.3
    """Factor of every task vector; 0.3 is the papers' setting for 8 tasks."""


METHOD = Method(
    name="task_arithmetic",
    title="Task Arithmetic",
    paper="Ilharco et al., Editing Models with Task Arithmetic, arXiv:2212.04089",
    summary="theta = theta0 + scaling * sum_k tau_k",
    hyper=TaskArithmetic,
    random=False,
)
