"""Takes data folders; gives tasks whose unlabelled and labelled batches are read by address."""

from distmerge.tasks.arrays import REVISION as ARRAYS_REVISION
from distmerge.tasks.arrays import Decoding
from distmerge.tasks.corrupted import LEVELS, Corruption, Level, corruption_of
from distmerge.tasks.decoding import UNDECODABLE, decoded
from distmerge.tasks.images import Images, LabelledImages, array_digest, preprocessed
from distmerge.tasks.listing import listed
from distmerge.tasks.sampler import batch_indices
from distmerge.tasks.task import ROLES, Role, Task, load_tasks, with_levels

__all__ = [
    "ARRAYS_REVISION",
    "LEVELS",
    "ROLES",
    "UNDECODABLE",
    "Corruption",
    "Decoding",
    "Images",
    "LabelledImages",
    "Level",
    "Role",
    "Task",
    "array_digest",
    "batch_indices",
    "corruption_of",
    "decoded",
    "listed",
    "load_tasks",
    "preprocessed",
    "with_levels",
]
