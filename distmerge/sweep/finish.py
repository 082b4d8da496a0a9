"""After the last run: the best model as a folder that needs nothing else."""

from typing import NamedTuple

import pandas as pd

from distmerge.artefact import CORRECTIONS, MODEL, OWN, ROUTER
from distmerge.results import REFERENCES
from distmerge.sweep.export.folder import StoredRun, beside_tower, model_files
from distmerge.sweep.prepare import Loaded, Prepared
from distmerge.sweep.trial import recipe_name


class Best(NamedTuple):
    """Where the best run's model lies."""

    run_id: str
    method: str
    folder: str
    tower: str
    corrections: str | None = None
    own: str | None = None
    router: str | None = None


def save_best(prepared: Prepared, board: pd.DataFrame) -> Best | None:
    """Save the merged model with the highest score on the select images; None without any run.

    Its folder is what ``distmerge export`` writes of any run.
    """
    merged = board[~board["method"].isin(REFERENCES) & board["score"].notna()]
    if merged.empty:
        return None
    best = merged.sort_values(["score", "run_id"], ascending=[False, True]).iloc[0]
    run_id, study = str(best["run_id"]), prepared.study.study
    folder = f"_best/{study}/{run_id}"
    places = {
        name: prepared.store.write_file(f"{folder}/{name}", content)
        for name, content in model_files(
            stored_run(
                prepared,
                prepared.store.finished(study),
                run_id,
                prepared.store.read_file(recipe_name(study, run_id)),
            )
        )
    }
    tower = places[MODEL]
    return Best(
        run_id,
        str(best["method"]),
        tower.removesuffix(f"/{MODEL}"),
        tower,
        *(places.get(name) for name in (CORRECTIONS, OWN, ROUTER)),
    )


def stored_run(loaded: Loaded, rows: pd.DataFrame, run_id: str, recipe: bytes) -> StoredRun:
    """Give a run of inputs that are loaded; ``rows`` hold it and the individual models'."""
    material, digests = loaded.material, loaded.digests
    return StoredRun(
        rows=rows,
        run_id=run_id,
        recipe=recipe,
        tower=material.config,
        vectors=loaded.vectors,
        heads=material.heads,
        classes={task.name: task.classes for task in material.tasks},
        checkpoint_digests=digests.checkpoints,
        head_digests=digests.heads,
        beside=beside_tower(loaded.source.files.tower, material.config),
    )
