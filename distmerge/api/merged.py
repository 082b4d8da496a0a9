"""A model that was merged in this process, and what its run measured."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from distmerge.api.asked import PathLike
from distmerge.artefact import LoadedModel
from distmerge.errors import ConfigError
from distmerge.methods.contract import MergedModel
from distmerge.sweep.here import StoredRun, write_model

_METRICS = ["suite", "task", "metric", "value", "corruption", "severity", "level"]


@dataclass(frozen=True)
class Merged(LoadedModel):
    """A merged model, and what its run measured."""

    run: StoredRun

    def __repr__(self) -> str:
        """Say what was merged and how well: a notebook shows the last line of a cell."""
        return (
            f"Merged({self.description.method} of {', '.join(self.tasks)}; "
            f"accuracy {self.description.accuracy['clean']['mean']:.3f})"
        )

    @property
    def results(self) -> pd.DataFrame:
        """The run's rows, as a sweep stores them: ``distmerge.results`` answers from such rows."""
        return self.run.rows[self.run.rows["run_id"] == self.run.run_id].reset_index(drop=True)

    @property
    def metrics(self) -> pd.DataFrame:
        """What was measured: one row per suite, task and metric."""
        return self.results[_METRICS]

    @property
    def accuracy(self) -> pd.DataFrame:
        """Accuracy on report images by task: clean, on every level, and the individual models'."""
        return pd.DataFrame(self.description.accuracy)

    @property
    def coefficients(self) -> pd.DataFrame:
        """The merge's coefficients: a row per tensor of the tower, a column per task.

        Raises:
            ConfigError: the model is routed, so that every image has coefficients of its own.
        """
        if not isinstance(self.model, MergedModel):
            raise ConfigError(
                f"{self.description.method} weighs the task vectors image by image; there is no "
                "one table of coefficients"
            )
        names = [segment.name for segment in self.model.vectors.layout.segments]
        values = self.model.coefficients.T.cpu().numpy()
        return pd.DataFrame(values, index=names, columns=[*self.model.vectors.tasks])

    def save(self, folder: PathLike, *, hugging_face: bool = False) -> Path:
        """Write the model into a new folder, as ``distmerge export`` does; give the folder.

        Raises:
            CheckpointError: transformers has no such tower.
            ConfigError: the folder is there already.
        """
        write_model(self.run, Path(folder), hugging_face=hugging_face)
        return Path(folder)
