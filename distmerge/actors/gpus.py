"""How much memory a GPU has, by the name that Ray gives its kind. Pure; knows no Ray."""

from collections.abc import Mapping

_GIB = {
    "A10G": 24,
    "A100": 40,
    "A100-40G": 40,
    "A100-80G": 80,
    "B200": 180,
    "B300": 270,
    "GB200": 180,
    "GB300": 270,
    "H20": 96,
    "H100": 80,
    "H200": 141,
    "K80": 12,
    "L4": 24,
    "L40S": 48,
    "P4": 8,
    "P100": 16,
    "RTX-PRO-6000": 96,
    "T4": 16,
    "V100": 16,
}
"""As their data sheets say; of a name that covers several sizes, the smallest."""
_FREE = 0.9  # what CUDA leaves of it: a context takes some, and drivers report less
_PREFIX = "accelerator_type:"


def gpu_kind(resources: Mapping[str, float]) -> str:
    """Give Ray's name of the kind of GPU that a node offers; nothing if it offers none."""
    kinds = [name.removeprefix(_PREFIX) for name in resources if name.startswith(_PREFIX)]
    return max(kinds, key=len, default="")  # A100-80G says more than A100


def gpu_bytes(kind: str) -> int | None:
    """Give the memory of one GPU that a process can use; None of a kind that is not known."""
    return int(_GIB[kind] * _FREE * 2**30) if kind in _GIB else None


def on_kind(kind: str) -> dict[str, float]:
    """Give what a process asks for besides a GPU to get one of this kind."""
    return {f"{_PREFIX}{kind}": 0.001} if kind else {}
