"""Takes state dicts; gives the flat task-vector bank, and merges and contracts it."""

from distmerge.taskvectors.algebra import average, contract, merge, uniform
from distmerge.taskvectors.bank import TaskVectors, task_vectors
from distmerge.taskvectors.layout import Grouping, Groups, Layout, Segment, merge_groups
from distmerge.taskvectors.selection import Selection
from distmerge.taskvectors.ties import selected

__all__ = [
    "Grouping",
    "Groups",
    "Layout",
    "Segment",
    "Selection",
    "TaskVectors",
    "average",
    "contract",
    "merge",
    "merge_groups",
    "selected",
    "task_vectors",
    "uniform",
]
