"""A study's models and images in this process, for runs beside any search; without Ray."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pandas as pd

from distmerge.coordinator import (
    LocalModels,
    Progress,
    checked_device,
    placed,
    recipe_bytes,
    source_digests,
)
from distmerge.methods import HYPERS
from distmerge.methods.contract import PRETRAINED, Model
from distmerge.results import record_rows
from distmerge.run import Session, reference_config, references, run, run_id
from distmerge.spec import RunConfig, Study
from distmerge.sweep.export.export import write_model
from distmerge.sweep.export.folder import StoredRun, described
from distmerge.sweep.finish import stored_run
from distmerge.sweep.gate import check_sanity
from distmerge.sweep.prepare import (
    Loaded,
    Report,
    check_batches,
    check_corrections,
    check_tower,
    crossed_roles,
    load_inputs,
)
from distmerge.sweep.serial import local_session

__all__ = ["Here", "StoredRun", "described", "opened", "write_model"]


@dataclass(frozen=True)
class Here:
    """What every run of a study needs."""

    loaded: Loaded
    session: Session
    report: Report
    measured: dict[tuple[str, bool], pd.DataFrame] = field(default_factory=dict)
    """References asked for before: by the first's run id, and whether facts are crossed."""

    @property
    def references(self) -> pd.DataFrame:
        """Rows of what merged models are compared with; other pipelines have the same."""
        study, digests = self.session.study, self.session.digests
        first = run_id(study, digests, reference_config(PRETRAINED, study.seed))
        known = (first, digests.crossed("report"))  # routers are compared with more
        if known not in self.measured:
            records = references(self.session)
            self.measured[known] = pd.concat([record_rows(found, HYPERS) for found in records])
        return self.measured[known]

    def of(self, study: Study) -> "Here":
        """Give the same for other pipelines on the same models and images.

        Raises:
            ConfigError: a stage does not fit the tower or the stage before.
            DataError: a stage draws more images than a task has.
        """
        check_corrections(study)
        check_tower(study, self.loaded.material.config)
        check_batches(study, {t.name: len(t.adapt) for t in self.loaded.material.tasks})
        digests = source_digests(self.loaded.source, self.loaded.material, crossed_roles(study))
        loaded = replace(self.loaded, study=study, digests=digests)
        if digests == self.loaded.digests:
            return replace(self, loaded=loaded, session=replace(self.session, study=study))
        session = _placed(loaded, self.session, self.report)
        return Here(loaded, session, self.report, self.measured)

    def run(
        self, config: RunConfig, observe: Callable[[Progress], None]
    ) -> tuple[Model, StoredRun]:
        """Give the model of a run, and all that a sweep would store of it.

        Raises:
            DivergenceError: an optimisation diverged.
        """
        model, record = run(self.session, config, observe)
        rows = pd.concat([self.references, record_rows(record, HYPERS)], ignore_index=True)
        return model, stored_run(self.loaded, rows, record.run_id, recipe_bytes(model))


def opened(study: Study, report: Report, device: str = "cpu") -> Here:
    """Load and check a study's models and images, as a sweep does before its first trial.

    Args:
        study: its pipelines are checked too.
        report: takes one line of progress at a time.
        device: where models are merged and adapted; features are made on the CPU.

    Raises:
        CapacityError: there is no such device.
        CheckpointError: a checkpoint or head does not fit, or a fine-tuned model is not better than
            the pretrained one.
        ConfigError: the study does not fit its models.
        DataError: a task's images or labels do not fit.
        ZooError: the built-in zoo cannot be built.
    """
    target = checked_device(device)
    loaded = load_inputs(study, report)
    session = local_session(loaded, report)
    check_sanity(session, report)
    material = placed(session.material, target)
    moved = replace(session, material=material, vectors=session.vectors.to(target))
    return Here(loaded, _placed(loaded, moved, report), report)


def _placed(loaded: Loaded, there: Session, report: Report) -> Session:
    """Give the session of ``loaded`` with the tensors of one that lies on the device."""
    fresh = local_session(loaded, report)
    assert isinstance(fresh.models, LocalModels)
    models = replace(fresh.models, material=there.material)
    return replace(fresh, material=there.material, vectors=there.vectors, models=models)
