"""A stored run as the files of a folder that stands alone."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from distmerge.artefact import (
    CARD,
    COEFFICIENTS,
    CORRECTIONS,
    MODEL,
    OWN,
    RECIPE,
    ROUTER,
    VECTORS,
    Description,
    head_file,
    model_card,
)
from distmerge.coordinator import (
    coefficient_bytes,
    correction_bytes,
    head_bytes,
    is_routed,
    merged_bytes,
    own_bytes,
    router_bytes,
    vector_bytes,
)
from distmerge.errors import CheckpointError
from distmerge.models import Head
from distmerge.run import INDIVIDUAL
from distmerge.spec import AnyTower, OpenClipTower, TextTower, TowerConfig
from distmerge.sweep.search.current import stored_config
from distmerge.taskvectors import TaskVectors

_STATE = {
    TowerConfig: "open_clip's VisionTransformer",
    OpenClipTower: "an image tower of open_clip",
    TextTower: "a text encoder of transformers",
}
_HOLDS = {
    VECTORS: "task vectors in float32; every tensor has the task as its first axis",
    ROUTER: "the router and the evidential head",
    COEFFICIENTS: "the merge's coefficients: for every tensor of the tower one per task",
    CORRECTIONS: "the tasks' feature corrections, as TASK.NAME",
    OWN: "tensors that a task has for itself in place of the tower's or head's, as TASK.NAME",
}
_RAN = ("seed", "protocol", "base_digest", "data_digest")
_RAN_BY = ("package_version", "git_commit", "torch_version")


@dataclass(frozen=True)
class StoredRun:
    """A run's rows and recipe, and the models that it merged."""

    rows: pd.DataFrame
    """Of all runs of its study that ended well."""
    run_id: str
    recipe: bytes
    tower: AnyTower
    vectors: TaskVectors
    heads: Mapping[str, Head]
    classes: Mapping[str, tuple[str, ...]]
    checkpoint_digests: Mapping[str, str]
    head_digests: Mapping[str, str]
    beside: Mapping[str, bytes]
    """The files that the tower's description names, by name: a tokenizer, or none."""


def model_files(run: StoredRun) -> Iterator[tuple[str, bytes]]:
    """Yield the files of the run's folder, by name; the same run gives the same bytes.

    Task vectors are large, so files come one at a time; the card is the last.
    """
    description = described(run)
    metadata = {"distmerge": description.model_dump_json()}
    sizes = {}
    for name in description.files:
        content = _content(run, name, metadata)
        sizes[name] = len(content)
        yield name, content
    recipe = json.dumps(description.model_dump(mode="json"), indent=1, ensure_ascii=False)
    yield RECIPE, recipe.encode()
    yield CARD, model_card(description, sizes).encode()


def described(run: StoredRun) -> Description:
    """Give what made the run's model: stages, settings and the digests of all inputs."""
    row = run.rows[run.rows["run_id"] == run.run_id].iloc[0]
    plain = {name: getattr(row[name], "item", lambda name=name: row[name])() for name in _RAN}
    return Description(
        **plain,
        **{name: None if pd.isna(row[name]) else row[name] for name in _RAN_BY},
        run_id=run.run_id,
        study=str(row["study"]),
        method=str(row["method"]),
        hyper=stored_config(row.to_dict()).values(),
        tasks=run.vectors.tasks,
        classes={task: run.classes[task] for task in run.vectors.tasks},
        tower=run.tower,
        routed=is_routed(run.recipe),
        files=_holdings(run),
        accuracy=_accuracy(run.rows, row),
        checkpoint_digests=dict(run.checkpoint_digests),
        head_digests=dict(run.head_digests),
    )


def _holdings(run: StoredRun) -> dict[str, str]:
    routed = is_routed(run.recipe)
    parts = [VECTORS, ROUTER] if routed else [COEFFICIENTS]
    parts += [CORRECTIONS] if correction_bytes(run.recipe, {}) else []
    parts += [OWN] if own_bytes(run.recipe, {}) else []
    heads = {head_file(task): f"the head of {task}" for task in run.vectors.tasks}
    model = "the pretrained" if routed else "the merged"
    return {
        MODEL: f"{model} tower: a state dict of {_STATE[type(run.tower)]}",
        **{name: _HOLDS[name] for name in parts},
        **heads,
        **dict.fromkeys(run.beside, "cuts texts into tokens; a file of Hugging Face's tokenizers"),
    }


def beside_tower(path: Path, config: AnyTower) -> dict[str, bytes]:
    """Give the files beside a tower's description that belong to it, by name.

    Raises:
        CheckpointError: one cannot be read.
    """
    if not isinstance(config, TextTower) or config.preprocess.tokenizer is None:
        return {}
    name = config.preprocess.tokenizer
    try:
        return {name: path.with_name(name).read_bytes()}
    except OSError as error:
        raise CheckpointError(f"{path.with_name(name)}: cannot be read ({error})") from error


def _content(run: StoredRun, name: str, metadata: Mapping[str, str]) -> bytes:
    if name in run.beside:
        return run.beside[name]
    makers: dict[str, Callable[[Mapping[str, str]], bytes | None]] = {
        MODEL: partial(merged_bytes, run.recipe, run.vectors),
        VECTORS: partial(vector_bytes, run.recipe, run.vectors),
        ROUTER: partial(router_bytes, run.recipe),
        COEFFICIENTS: partial(coefficient_bytes, run.recipe, run.vectors),
        CORRECTIONS: partial(correction_bytes, run.recipe),
        OWN: partial(own_bytes, run.recipe),
        **{head_file(task): partial(head_bytes, run.heads[task]) for task in run.vectors.tasks},
    }
    content = makers[name](metadata)
    assert content is not None
    return content


def _accuracy(rows: pd.DataFrame, row: "pd.Series[Any]") -> dict[str, dict[str, float]]:
    """Give the accuracy on report images: of the run, and of the individual models beside it."""
    own = rows[(rows["run_id"] == row["run_id"]) & rows["corruption"].isna()]
    plain = own[own["metric"] == "accuracy"]
    clean = own[own["suite"] == "clean"]
    found = {"clean": _by_task(clean[clean["metric"] == "accuracy"])}
    for level, part in plain[plain["suite"] == "corrupted"].groupby("level"):
        found[str(level)] = _by_task(part)
    found["unseen"] = _by_task(plain[plain["suite"] == "unseen"])
    found["task withheld"] = _by_task(clean[clean["metric"] == "accuracy_withheld"])
    same = (rows["base_digest"] == row["base_digest"]) & (rows["suite"] == "clean")
    same &= (rows["checkpoint_digests"] == row["checkpoint_digests"]) & (
        rows["data_digest"] == row["data_digest"]
    )
    individual = rows[same & (rows["method"] == INDIVIDUAL) & (rows["metric"] == "accuracy")]
    found["individual"] = _by_task(individual.sort_values("started_at"))  # of several, the last
    return {name: values for name, values in found.items() if values}


def _by_task(rows: pd.DataFrame) -> dict[str, float]:
    return {
        str(task): float(value) for task, value in zip(rows["task"], rows["value"], strict=True)
    }
