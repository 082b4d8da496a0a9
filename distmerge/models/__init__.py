"""Takes checkpoint files; gives state dicts, encoders and heads."""

from distmerge.models.head import Head, load_head, save_head
from distmerge.models.routed import RoutedWeights, mean_tokens, routed_features
from distmerge.models.seeding import address_seed, initialised
from distmerge.models.state import StateDict, file_digest, load_metadata, load_state, save_state
from distmerge.models.tower import Encoding, Tower

__all__ = [
    "Encoding",
    "Head",
    "RoutedWeights",
    "StateDict",
    "Tower",
    "address_seed",
    "file_digest",
    "initialised",
    "load_head",
    "load_metadata",
    "load_state",
    "mean_tokens",
    "routed_features",
    "save_head",
    "save_state",
]
