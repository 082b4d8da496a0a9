"""What lies beside the rows: recipes and pictures of runs, read without torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import safetensors

from distmerge.errors import ResultsError
from distmerge.tensorfiles import header_of

_DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "I32": np.int32}


class Content(NamedTuple):
    """A safetensors file."""

    tensors: dict[str, np.ndarray]
    """Of float and int32 types, as they lie there."""
    texts: dict[str, str]


class Trace(NamedTuple):
    """How one problem of a run was solved; every array has a row per point, or per check."""

    problem: str
    before: int
    """Steps of the run's earlier problems."""
    groups: tuple[str, ...]
    steps: np.ndarray
    losses: np.ndarray
    coefficients: np.ndarray
    """Point by task by group; empty where no coefficient is learned."""
    check_steps: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Pictures:
    """What a run keeps for its report."""

    tensors: Mapping[str, np.ndarray]
    tasks: tuple[str, ...]
    unseen: tuple[str, ...]
    traces: tuple[Trace, ...]

    def by_task(self, kind: str) -> dict[str, np.ndarray]:
        """Give the tensors ``KIND.TASK`` by task, merged tasks first."""
        found = {task: self.tensors.get(f"{kind}.{task}") for task in (*self.tasks, *self.unseen)}
        return {task: tensor for task, tensor in found.items() if tensor is not None}


def read_content(content: bytes, place: str) -> Content:
    """Give what a safetensors file holds; nothing of no file.

    Raises:
        ResultsError: it is no safetensors file.
    """
    if not content:
        return Content({}, {})
    try:
        tensors = dict(safetensors.deserialize(content))  # type: ignore[no-untyped-call]  # Rust
    except safetensors.SafetensorError as error:
        raise ResultsError(f"{place}: not safetensors ({error})") from error
    header, _ = header_of(content)
    in_order = sorted(tensors, key=lambda name: header[name]["data_offsets"])
    arrays = {
        name: np.frombuffer(entry["data"], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in ((name, tensors[name]) for name in in_order)
        if entry["dtype"] in _DTYPES
    }
    return Content(arrays, header.get("__metadata__", {}))


def read_pictures(content: bytes, place: str) -> Pictures | None:
    """Give what a run keeps for its report; None of no file.

    Raises:
        ResultsError: it is no such file.
    """
    tensors, texts = read_content(content, place)
    if not content:
        return None
    try:
        problems, tasks, unseen = (json.loads(texts[n]) for n in ("problems", "tasks", "unseen"))
    except (KeyError, ValueError) as error:
        raise ResultsError(f"{place}: no pictures of a run (it lacks {error})") from error
    traces = (_trace(tensors, i, problem) for i, problem in enumerate(problems))
    return Pictures(tensors, tuple(tasks), tuple(unseen), tuple(traces))


def _trace(tensors: Mapping[str, np.ndarray], number: int, problem: Mapping[str, Any]) -> Trace:
    empty = np.zeros(0)
    fields = ("steps", "losses", "coefficients", "check_steps", "scores")
    arrays = [tensors.get(f"trace.{number}.{name}", empty) for name in fields]
    return Trace(problem["problem"], problem["before"], tuple(problem["groups"]), *arrays)
