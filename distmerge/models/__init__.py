"""Takes checkpoint files; gives state dicts, encoders and heads."""

from distmerge.models.activations import forward_bytes, tasks_per_forward, training_bytes
from distmerge.models.foreign import (
    Imported,
    import_checkpoint,
    merge_adapter,
    published_coefficients,
    to_hugging_face,
)
from distmerge.models.head import Head, head_shapes, load_head, save_head
from distmerge.models.headers import (
    CheckpointFile,
    TensorInfo,
    checkpoint_files,
    header_problems,
    metadata_problems,
)
from distmerge.models.routed import RoutedWeights, matrix_tokens, mean_tokens, routed_features
from distmerge.models.routed_product import Factors, most_ranks
from distmerge.models.seeding import address_seed, initialised
from distmerge.models.shapes import tower_shapes
from distmerge.models.state import StateDict, file_digest, load_metadata, load_state, save_state
from distmerge.models.tower import Encoding, Tower, clamped
from distmerge.models.zero_shot import REVISION as HEADS_REVISION
from distmerge.models.zero_shot import (
    Wanted,
    zero_shot_files,
    zero_shot_head,
    zero_shot_problems,
)

__all__ = [
    "HEADS_REVISION",
    "CheckpointFile",
    "Encoding",
    "Factors",
    "Head",
    "Imported",
    "RoutedWeights",
    "StateDict",
    "TensorInfo",
    "Tower",
    "Wanted",
    "address_seed",
    "checkpoint_files",
    "clamped",
    "file_digest",
    "forward_bytes",
    "head_shapes",
    "header_problems",
    "import_checkpoint",
    "initialised",
    "load_head",
    "load_metadata",
    "load_state",
    "matrix_tokens",
    "mean_tokens",
    "merge_adapter",
    "metadata_problems",
    "most_ranks",
    "published_coefficients",
    "routed_features",
    "save_head",
    "save_state",
    "tasks_per_forward",
    "to_hugging_face",
    "tower_shapes",
    "training_bytes",
    "zero_shot_files",
    "zero_shot_head",
    "zero_shot_problems",
]
