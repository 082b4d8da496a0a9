"""Where the checkpoints of a study's runs lie, kept beside their recipes."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from distmerge.errors import ResultsError
from distmerge.results import RunStore
from distmerge.spec import BankType, Frozen, ModelFiles, digest
from distmerge.sweep.prepare import Prepared


class RecordedInputs(Frozen):
    """What export needs of a study and neither rows nor recipes hold."""

    files: ModelFiles
    """Where towers and heads lie."""
    unseen: tuple[str, ...]
    """Tasks among them that are not merged."""
    classes: dict[str, tuple[str, ...]]
    """Class names of the merged tasks."""
    tower: str
    """Digest of the tower's description."""
    heads: dict[str, str]
    """Digest of every head."""
    bank: BankType = "float32"
    """How task vectors were held."""


def record_inputs(prepared: Prepared) -> None:
    """Keep where the checkpoints of today's runs lie; a record of equal ones is replaced.

    Raises:
        ResultsError: the storage cannot be written.
    """
    digests = prepared.digests
    inputs = RecordedInputs(
        files=prepared.source.files,
        unseen=prepared.source.unseen,
        classes={task.name: task.classes for task in prepared.material.tasks},
        tower=digests.tower,
        heads=dict(digests.heads),
        bank=digests.bank,
    )
    checkpoints = json.dumps(list(digests.checkpoints.values()))
    name = _name(prepared.study.study, digests.base, checkpoints, digests.images)
    prepared.store.write_file(name, inputs.model_dump_json(indent=1).encode())


def recorded_inputs(store: RunStore, row: Mapping[Any, Any]) -> RecordedInputs:
    """Give where the checkpoints of a stored run lie.

    Raises:
        ResultsError: no sweep has recorded it.
    """
    columns = ("study", "base_digest", "checkpoint_digests", "data_digest")
    name = _name(*(str(row[column]) for column in columns))
    try:
        return RecordedInputs.model_validate_json(store.read_file(name))
    except (ResultsError, ValidationError) as error:
        raise ResultsError(
            f"run {row['run_id']}: where its checkpoints lie is not recorded ({error}); run its "
            "sweep once more to the end: that repeats no finished run"
        ) from error


def _name(study: str, base: str, checkpoints: str, data: str) -> str:
    return f"_recipes/{study}/inputs-{digest([base, checkpoints, data])}.json"
