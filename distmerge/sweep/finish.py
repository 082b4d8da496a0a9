"""After the last run: the best model as a file that open_clip loads."""

import json
from typing import NamedTuple

import pandas as pd

from distmerge.coordinator import correction_bytes, merged_bytes
from distmerge.report import REFERENCES
from distmerge.results import RunStore
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
    metadata = _metadata(prepared, prepared.store, run_id)
    recipe = prepared.store.read_file(recipe_name(study, run_id))
    tower = merged_bytes(recipe, prepared.vectors, metadata)
    place = prepared.store.write_file(f"_best/{study}/tower.safetensors", tower)
    corrections = correction_bytes(recipe, metadata)
    beside = corrections and prepared.store.write_file(
        f"_best/{study}/corrections.safetensors", corrections
    )
    return Best(run_id, method, place, beside or None)


def _metadata(prepared: Prepared, store: RunStore, run_id: str) -> dict[str, str]:
    rows = store.finished(prepared.study.study)
    row = rows[rows["run_id"] == run_id].iloc[0]
    kept = ["method", "seed", "protocol", "backbone", "base_digest", "checkpoint_digests"]
    kept += ["data_digest", "package_version", "git_commit", "torch_version"]
    hyper = {
        name: value.item() if hasattr(value, "item") else value
        for name, value in row.items()
        if "." in str(name) and pd.notna(value)
    }
    recipe = {
        **{name: str(row[name]) for name in kept},
        "run_id": run_id,
        "tasks": json.dumps(list(prepared.vectors.tasks)),
        "hyper": json.dumps(hyper),
        "tower": prepared.material.config.model_dump_json(),
    }
    return {"format": "pt", **recipe}
