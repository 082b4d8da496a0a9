"""Takes data folders; gives tasks whose unlabelled and labelled batches are read by address."""

from distmerge.tasks.images import Images, LabelledImages, array_digest, preprocessed
from distmerge.tasks.sampler import batch_indices
from distmerge.tasks.task import ROLES, Role, Task, load_tasks

__all__ = [
    "ROLES",
    "Images",
    "LabelledImages",
    "Role",
    "Task",
    "array_digest",
    "batch_indices",
    "load_tasks",
    "preprocessed",
]
