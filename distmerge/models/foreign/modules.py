"""The tensors of a pickled module or state dict by name, and what its classes tell of the tower."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from distmerge.errors import CheckpointError
from distmerge.models.foreign.pickled import Placeholder, StoredTensor

_ACTIVATIONS = {"QuickGELU": True, "GELU": False}
_USUAL = {"pool_type": "tok", "final_ln_after_pool": False}
_DEEPEST = 50
_MOST = 1_000_000  # a dictionary that holds others twice each, and so on, has no end in practice


@dataclass(frozen=True)
class Facts:
    """What the shapes of a tower's tensors do not tell; None where nothing tells it."""

    heads: int | None = None
    quick_gelu: bool | None = None
    norm_eps: float | None = None
    mean: tuple[float, float, float] | None = None
    """Of the images' normalisation."""
    std: tuple[float, float, float] | None = None
    resize: Literal["shortest", "squash"] | None = None
    unusual: Mapping[str, object] = field(default_factory=dict)
    """Settings of open_clip in which it is no vision transformer whose feature is its class
    token's, with the names that ``vision_cfg`` has for them."""


def stored_tensors(root: object) -> dict[str, StoredTensor]:
    """Give the tensors of a module or of nested dictionaries, named as in its state dict."""
    return {name: node for name, node in _nodes(root, "") if isinstance(node, StoredTensor)}


def module_facts(root: object, prefix: str) -> Facts:
    """Give what the modules below ``prefix`` tell.

    Raises:
        CheckpointError: two modules tell different things.
    """
    found: dict[str, dict[object, str]] = {"heads": {}, "quick_gelu": {}, "norm_eps": {}}
    parts = (f"{prefix}transformer.", f"{prefix}ln_")
    nodes = [(name, node) for name, node in _nodes(root, "") if isinstance(node, Placeholder)]
    own = [(name, node) for name, node in nodes if name.startswith(parts)]
    for name, node in own:
        for fact, value in _told(node).items():
            found[fact].setdefault(value, name)
    for fact, values in found.items():
        if len(values) > 1:
            told = ", ".join(f"{value} at {name}" for value, name in values.items())
            raise CheckpointError(f"{fact} differs between modules: {told}; expected one value")
    known = {k: next(iter(v)) for k, v in found.items() if v}
    unusual = _unusual_form([node for _, node in own])
    for name, node in nodes:
        if f"{name}.".lstrip(".") == prefix:
            unusual |= _unusual_pooling(_state(node))
    return Facts(**known, **_preprocessing(root), unusual=unusual)  # type: ignore[arg-type]  # checked by TowerConfig


def _told(node: Placeholder) -> dict[str, object]:
    """Give the facts that one module tells."""
    state, kind = _state(node), type(node).place.rpartition(".")[2]
    if kind in _ACTIVATIONS:
        return {"quick_gelu": _ACTIVATIONS[kind]}
    if kind == "MultiheadAttention" and "num_heads" in state:
        return {"heads": state["num_heads"]}
    if kind in {"LayerNorm", "LayerNormFp32"} and "eps" in state:
        return {"norm_eps": state["eps"]}
    return {}


def _unusual_form(blocks: Iterable[Placeholder]) -> dict[str, object]:
    """Give the form of GELU, if it is not the exact one."""
    forms = {_state(node).get("approximate", "none") for node in blocks} - {"none"}
    return {"act_kwargs": {"approximate": forms.pop()}} if forms else {}


def _unusual_pooling(state: Mapping[object, object]) -> dict[str, object]:
    """Give how a vision transformer's feature is made, if not of its class token."""
    told = {name: state.get(name, usual) for name, usual in _USUAL.items()}
    if state.get("global_average_pool"):  # of open_clip before 2.24
        told["pool_type"] = "avg"
    return {name: value for name, value in told.items() if value != _USUAL[name]}


def normalises(root: object, prefix: str) -> bool | None:
    """Give the ``normalize`` flag of the head at ``prefix``, if it has one."""
    for name, node in _nodes(root, ""):
        if isinstance(node, Placeholder) and f"{name}.".lstrip(".") == prefix:
            flag = _state(node).get("normalize")
            return None if flag is None else bool(flag)
    return None


def _nodes(
    node: object, name: str, places: Iterator[int] | None = None, depth: int = 0
) -> Iterator[tuple[str, object]]:
    """Give a tree's tensors and modules, each behind its parent.

    Raises:
        CheckpointError: the tree has no end.
    """
    places = places or count()
    if next(places) >= _MOST:
        raise CheckpointError(f"over {_MOST:,} modules and tensors at {name[:60]}...; damaged")
    if depth > _DEEPEST:
        raise CheckpointError(f"modules nested over {_DEEPEST} deep at {name[:60]}...; damaged")
    if isinstance(node, StoredTensor):
        yield name, node
        return
    if isinstance(node, Placeholder):
        yield name, node
    for key, child in _children(node).items():
        if isinstance(key, str):
            yield from _nodes(child, f"{name}.{key}" if name else key, places, depth + 1)


def _children(node: object) -> Mapping[object, object]:
    if isinstance(node, Mapping):
        return node
    state = _state(node)
    if "_modules" not in state:  # TorchScript keeps parameters and modules as attributes
        return state
    left_out = state.get("_non_persistent_buffers_set") or ()
    assert isinstance(left_out, (set, frozenset, tuple))
    parts = [state.get(part) or {} for part in ("_parameters", "_buffers", "_modules")]
    merged = {k: v for part in parts if isinstance(part, Mapping) for k, v in part.items()}
    return {k: v for k, v in merged.items() if k not in left_out}


def _state(node: object) -> Mapping[object, object]:
    state = node.state if isinstance(node, Placeholder) else None
    return state if isinstance(state, Mapping) else {}


def _preprocessing(root: object) -> dict[str, object]:
    """Give what ``val_preprocess``, torchvision's transforms, does to images."""
    found: dict[str, object] = {}
    transforms = _state(_state(root).get("val_preprocess")).get("transforms")
    for step in transforms if isinstance(transforms, list) else ():
        state, kind = _state(step), type(step).place if isinstance(step, Placeholder) else ""
        if kind.endswith(".Normalize"):
            pair = {key: state.get(key) for key in ("mean", "std")}
            found |= {k: tuple(v) for k, v in pair.items() if isinstance(v, (list, tuple))}
        if kind.endswith(".Resize"):
            both = isinstance(state.get("size"), (list, tuple))
            found["resize"] = "squash" if both else "shortest"
    return found
