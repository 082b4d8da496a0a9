"""Takes checkpoint files; gives state dicts, encoders and heads."""

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
from distmerge.models.routed import RoutedWeights, mean_tokens, routed_features
from distmerge.models.seeding import address_seed, initialised
from distmerge.models.shapes import num_tokens, tower_shapes
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
    "head_shapes",
    "header_problems",
    "import_checkpoint",
    "initialised",
    "load_head",
    "load_metadata",
    "load_state",
    "mean_tokens",
    "merge_adapter",
    "metadata_problems",
    "num_tokens",
    "published_coefficients",
    "routed_features",
    "save_head",
    "save_state",
    "to_hugging_face",
    "tower_shapes",
    "zero_shot_files",
    "zero_shot_head",
    "zero_shot_problems",
]
