"""A stored run, made again from its recipe and the checkpoints on disk."""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from distmerge import __version__
from distmerge.coordinator import Digests, Source, load_vectors, tower_digest
from distmerge.errors import CheckpointError, ResultsError, problem_list
from distmerge.models import Tower, file_digest, load_head
from distmerge.results import REFERENCES, RunStore
from distmerge.run import run_id as identity
from distmerge.spec import ImageCounts, Pipeline, Study, load_tower_config
from distmerge.sweep.export.folder import StoredRun, beside_tower
from distmerge.sweep.recorded import RecordedInputs, recorded_inputs
from distmerge.sweep.search.current import stored_config
from distmerge.sweep.trial import recipe_name

_SCORE = "score:"


def found(store: RunStore, prefix: str) -> Mapping[Any, Any]:
    """Give a row of the one run that begins so.

    Raises:
        ResultsError: there is none, or there are several.
    """
    studies = store.studies()
    if not studies:
        raise ResultsError(f"{store.root}: no results here; a sweep makes them")
    matches = [
        row
        for study in studies
        for row in store.finished(study).drop_duplicates("run_id").to_dict("records")
        if row["method"] not in REFERENCES and row["run_id"].startswith(prefix)
    ]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise ResultsError(
            f"{store.root}: no merged model of a run that begins with {prefix!r}; "
            f"`distmerge leaderboard {store.root} --json` names each method's best run"
        )
    several = [f"{row['run_id']}: {row['method']}, study {row['study']}" for row in matches]
    raise ResultsError(problem_list(f"several runs begin with {prefix!r}", several))


def rebuilt(store: RunStore, row: Mapping[Any, Any]) -> StoredRun:
    """Give a stored run with the models that it merged, as they are on disk.

    Raises:
        CheckpointError: lists every file that is missing or no longer what the run merged.
        ConfigError: this version does not know the run's method.
        ResultsError: its recipe, or where its checkpoints lie, is not stored.
    """
    study, run_id = str(row["study"]), str(row["run_id"])
    inputs = recorded_inputs(store, row)
    recipe = store.read_file(recipe_name(study, run_id))
    rows = store.finished(study)
    digests = _digests(inputs, row)
    _check_identity(rows[rows["run_id"] == run_id], inputs, digests)
    tower = load_tower_config(inputs.files.tower)
    source = Source(
        inputs.files, ImageCounts(), transductive=False, unseen=inputs.unseen, bank=inputs.bank
    )
    heads = {
        task.name: load_head(
            task.head_file, num_classes=len(inputs.classes[task.name]), feature_dim=tower.output_dim
        )
        for task in source.seen
    }
    return StoredRun(
        rows=rows,
        run_id=run_id,
        recipe=recipe,
        tower=tower,
        vectors=load_vectors(source, Tower(tower)),
        heads=heads,
        classes=inputs.classes,
        checkpoint_digests=digests.checkpoints,
        head_digests=digests.heads,
        beside=beside_tower(inputs.files.tower, tower),
    )


def _digests(inputs: RecordedInputs, row: Mapping[Any, Any]) -> Digests:
    """Give the digests of the files on disk.

    Raises:
        CheckpointError: lists every file that is missing or has changed since the run.
    """
    files, problems = inputs.files, []
    expected = {files.base: str(row["base_digest"])}
    checkpoints = json.loads(row["checkpoint_digests"])
    for task, value in zip(files.tasks, checkpoints, strict=True):
        expected |= {task.checkpoint: value, task.head_file: inputs.heads[task.name]}
    found = {}
    for path, value in expected.items():
        try:
            found[path] = file_digest(path)
        except CheckpointError as error:
            problems.append(str(error))
        else:
            if found[path] != value:
                problems.append(f"{path}: digest {found[path]}, expected {value}")
    tower = tower_digest(load_tower_config(files.tower))
    if tower != inputs.tower:
        problems.append(f"{files.tower}: another tower; digest {tower}, expected {inputs.tower}")
    if problems:
        title = f"run {row['run_id']}: files are not those that it merged; put them back"
        raise CheckpointError(problem_list(title, problems))
    return Digests(
        tower=tower,
        base=found[files.base],
        checkpoints={task.name: found[task.checkpoint] for task in files.tasks},
        heads={task.name: found[task.head_file] for task in files.tasks},
        images=str(row["data_digest"]),
        keys=(),
        bank=inputs.bank,
    )


def _check_identity(rows: pd.DataFrame, inputs: RecordedInputs, digests: Digests) -> None:
    """Check that heads and names, which no row holds, are the run's too.

    Raises:
        CheckpointError: they are another run's; only a run of this version can tell.
        ConfigError: this version does not know the run's method.
    """
    row = rows.iloc[0]
    if row["package_version"] != __version__:
        return  # the hash of a run is made of the version too
    config = stored_config(row.to_dict())
    scores = rows["metric"][rows["metric"].str.startswith(_SCORE)]
    study = Study(
        study=str(row["study"]),
        models=inputs.files,
        pipelines=(Pipeline(stages=tuple(stage.method for stage in config.stages)),),
        protocol=row["protocol"],
        select=scores.iloc[0].removeprefix(_SCORE),
    )
    if identity(study, digests, config) != row["run_id"]:
        raise CheckpointError(
            f"run {row['run_id']}: its heads or tower are not those of the last sweep of study "
            f"{study.study} on these checkpoints; run the sweep again with the files of the run"
        )
