"""After the last run: the best model as a file that open_clip loads."""

import json
from typing import Any, NamedTuple

import pandas as pd

from distmerge.coordinator import correction_bytes, merged_bytes
from distmerge.report import REFERENCES
from distmerge.sweep.prepare import Prepared
from distmerge.sweep.trial import recipe_name


class Best(NamedTuple):
    """Where the best run's model lies."""

    run_id: str
    method: str
    tower: str
    corrections: str | None


def save_best(prepared: Prepared, board: pd.DataFrame) -> Best | None:
    """Save the merged model with the highest score on the select images; None without any run.

    The tower is a state dict of open_clip's ``VisionTransformer``; the stages, settings and
    digests of all inputs are in its metadata. Feature corrections lie beside it.
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
    tower = merged_bytes(content, prepared.vectors, metadata)
    place = prepared.store.write_file(f"{folder}/tower.safetensors", tower)
    corrections = correction_bytes(content, metadata)
    if corrections is None:
        return Best(run_id, method, place, None)
    beside = prepared.store.write_file(f"{folder}/corrections.safetensors", corrections)
    return Best(run_id, method, place, beside)


def _recipe(prepared: Prepared, row: "pd.Series[Any]") -> dict[str, object]:
    """Give what made the model: stages, settings and the digests of all inputs."""
    names = ["run_id", "study", "method", "seed", "protocol", "base_digest", "data_digest"]
    names += ["package_version", "git_commit", "torch_version"]
    plain = {name: getattr(row[name], "item", lambda name=name: row[name])() for name in names}
    hyper = {
        str(name): getattr(value, "item", lambda value=value: value)()
        for name, value in row.items()
        if "." in str(name) and pd.notna(value)
    }
    return {
        **plain,
        "hyper": hyper,
        "tasks": prepared.vectors.tasks,
        "checkpoint_digests": json.loads(row["checkpoint_digests"]),
        "tower": prepared.material.config.model_dump(mode="json"),
    }
