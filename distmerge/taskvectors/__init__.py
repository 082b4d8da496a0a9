"""Takes state dicts; gives the flat task-vector bank, and merges and contracts it."""

from distmerge.taskvectors.algebra import contract, merge
from distmerge.taskvectors.bank import TaskVectors, task_vectors
from distmerge.taskvectors.layout import Grouping, Groups, Layout, Segment, merge_groups

__all__ = [
    "Grouping",
    "Groups",
    "Layout",
    "Segment",
    "TaskVectors",
    "contract",
    "merge",
    "merge_groups",
    "task_vectors",
]
