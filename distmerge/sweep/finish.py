"""After the last run: the best model as a file that open_clip loads."""

import json
from typing import Any, NamedTuple

import pandas as pd

from distmerge.coordinator import correction_bytes, merged_bytes, own_bytes, router_bytes
from distmerge.report import REFERENCES
from distmerge.sweep.current import stored_config
from distmerge.sweep.prepare import Prepared
from distmerge.sweep.trial import recipe_name


class Best(NamedTuple):
    """Where the best run's model lies."""

    run_id: str
    method: str
    tower: str
    corrections: str | None = None
    own: str | None = None
    router: str | None = None


def save_best(prepared: Prepared, board: pd.DataFrame) -> Best | None:
    """Save the merged model with the highest score on the select images; None without any run.

    The tower is a state dict of open_clip's ``VisionTransformer``; the stages, settings and
    digests of all inputs are in its metadata. Feature corrections, tasks' own tensors and the
    router lie beside it; beside a router the tower is the base.
    """
    merged = board[~board["method"].isin(REFERENCES) & board["score"].notna()]
    if merged.empty:
        return None
    best = merged.sort_values("score").iloc[-1]
    run_id, method, study = str(best["run_id"]), str(best["method"]), prepared.study.study
    rows = prepared.store.finished(study)
    recipe = _recipe(prepared, rows[rows["run_id"] == run_id].iloc[0])
    metadata = {"distmerge": json.dumps(recipe)}
    content = prepared.store.read_file(recipe_name(study, run_id))
    folder = f"_best/{study}/{run_id}"
    parts = {
        "tower": merged_bytes(content, prepared.vectors, metadata),
        "corrections": correction_bytes(content, metadata),
        "own": own_bytes(content, metadata),
        "router": router_bytes(content, metadata),
    }
    places = {
        name: prepared.store.write_file(f"{folder}/{name}.safetensors", part)
        for name, part in parts.items()
        if part is not None
    }
    return Best(run_id, method, **places)


def _recipe(prepared: Prepared, row: "pd.Series[Any]") -> dict[str, object]:
    """Give what made the model: stages, settings and the digests of all inputs."""
    names = ["run_id", "study", "method", "seed", "protocol", "base_digest", "data_digest"]
    names += ["package_version", "git_commit", "torch_version"]
    plain = {name: getattr(row[name], "item", lambda name=name: row[name])() for name in names}
    return {
        **plain,
        "hyper": stored_config(row.to_dict()).values(),
        "tasks": prepared.vectors.tasks,
        "checkpoint_digests": json.loads(row["checkpoint_digests"]),
        "tower": prepared.material.config.model_dump(mode="json"),
    }
