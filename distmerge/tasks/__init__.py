"""Takes data folders; gives tasks whose unlabelled and labelled batches are read by address."""

from distmerge.tasks.arrays import REVISION as ARRAYS_REVISION
from distmerge.tasks.arrays import Decoding
from distmerge.tasks.corrupted import LEVELS, Corruption, Level, corruption_of
from distmerge.tasks.corrupted import REVISION as CORRUPTED_REVISION
from distmerge.tasks.decoding import UNDECODABLE, Rows, decoded
from distmerge.tasks.found import Found
from distmerge.tasks.listing import listed
from distmerge.tasks.preview import Preview, locations, previewed
from distmerge.tasks.reading import ArrayFolder
from distmerge.tasks.sampler import batch_indices
from distmerge.tasks.samples import (
    LabelledSamples,
    ModelInput,
    Samples,
    array_digest,
    array_kind,
    model_input,
    preprocessed,
)
from distmerge.tasks.task import ROLES, Role, Task, described_data, load_tasks, with_levels

__all__ = [
    "ARRAYS_REVISION",
    "CORRUPTED_REVISION",
    "LEVELS",
    "ROLES",
    "UNDECODABLE",
    "ArrayFolder",
    "Corruption",
    "Decoding",
    "Found",
    "LabelledSamples",
    "Level",
    "ModelInput",
    "Preview",
    "Role",
    "Rows",
    "Samples",
    "Task",
    "array_digest",
    "array_kind",
    "batch_indices",
    "corruption_of",
    "decoded",
    "described_data",
    "listed",
    "load_tasks",
    "locations",
    "model_input",
    "preprocessed",
    "previewed",
    "with_levels",
]
