"""Takes state dicts; gives the flat task-vector bank, and merges and contracts it."""

from distmerge.spec import Selection
from distmerge.taskvectors.algebra import average, contract, merge, uniform
from distmerge.taskvectors.bank import (
    BankArrays,
    TaskVectors,
    mapped_vectors,
    task_vectors,
)
from distmerge.taskvectors.layout import (
    Grouping,
    Groups,
    Layout,
    Segment,
    last_layer,
    merge_groups,
)
from distmerge.taskvectors.low_rank import LowRank, low_rank
from distmerge.taskvectors.ties import selected

__all__ = [
    "BankArrays",
    "Grouping",
    "Groups",
    "Layout",
    "LowRank",
    "Segment",
    "Selection",
    "TaskVectors",
    "average",
    "contract",
    "last_layer",
    "low_rank",
    "mapped_vectors",
    "merge",
    "merge_groups",
    "selected",
    "task_vectors",
    "uniform",
]
