"""Where torch's layer initialisers, which know only the global generator, are seeded."""

import hashlib
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


def address_seed(*address: object) -> int:
    """Give the 63-bit seed of an address such as ``(seed, task name, layer name)``."""
    text = "\x1f".join(map(str, address))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def initialised(build: Callable[[], T], *address: object) -> T:
    """Give ``build()`` with the random numbers of ``address``; global generators stay untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(address_seed(*address))
        return build()
