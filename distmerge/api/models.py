"""Fine-tuned models, loaded once and merged often, in this process."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import pandas as pd
from rich.console import Console

from distmerge.api.asked import Data, Options, PathLike, Stage, pipeline_content
from distmerge.api.merged import Merged
from distmerge.coordinator import Progress
from distmerge.errors import ConfigError
from distmerge.methods import HYPERS
from distmerge.spec import checked_study, run_config, study_content
from distmerge.sweep import SweepResult, run_sweep
from distmerge.sweep.here import Here, described, opened
from distmerge.tasks import Decoding


def silent(_: object) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Models:
    """Models fine-tuned from one, their heads and images: loaded once, checked, merged often."""

    content: Mapping[str, Any]
    """The study that they are of, as its file would hold it."""
    here: Here

    def __repr__(self) -> str:
        """Name the tasks: a notebook shows the last line of a cell."""
        return f"Models({', '.join(self.here.session.vectors.tasks)})"

    @property
    def references(self) -> pd.DataFrame:
        """Rows of the pretrained and the individual models, as a sweep stores them."""
        return self.here.references

    def merge(
        self,
        stages: Stage | Sequence[Stage],
        *,
        seed: int | None = None,
        observe: Callable[[Progress], None] = silent,
    ) -> Merged:
        """Merge, adapt and evaluate: the numbers are those of a sweep's run.

        An interrupt (Ctrl-C, the stop button) leaves nothing behind.

        Args:
            stages: a method, or a merge and then corrections.
            seed: of everything that is drawn; by default the study's.
            observe: is called after every optimiser step.

        Raises:
            ConfigError: lists every stage or setting that is unknown, or does not fit the models.
            DataError: a stage draws more images than a task has.
            DivergenceError: an optimisation diverged.
        """
        drawn = {} if seed is None else {"seed": seed}
        content = {**self.content, **drawn, "pipelines": [pipeline_content(stages)]}
        study = checked_study(content, "stages", HYPERS)
        (pipeline,) = study.alternatives
        if pipeline.searched():
            raise ConfigError(
                f"{', '.join(pipeline.searched())}: got a range, expected one value; "
                "distmerge.run_study searches"
            )
        here = self.here.of(study)
        model, stored = here.run(run_config(pipeline, {}, study.seed, HYPERS), observe)
        config = here.loaded.material.config
        folder = here.loaded.source.files.tower.parent
        rows = Decoding(config.preprocess, Path(), folder).rows()
        return Merged(described(stored), model, rows, stored)


def merge(
    base: PathLike,
    checkpoints: Mapping[str, PathLike],
    stages: Stage | Sequence[Stage],
    data: Data,
    *,
    observe: Callable[[Progress], None] = silent,
    device: str = "cpu",
    **options: Unpack[Options],
) -> Merged:
    """Give the merge of fine-tuned models, adapted and evaluated; see ``open_models``.

    Raises:
        DistmergeError: as ``open_models`` and ``Models.merge``.
    """
    models = open_models(base, checkpoints, data, device=device, **options)
    return models.merge(stages, observe=observe)


def open_models(
    base: PathLike,
    checkpoints: Mapping[str, PathLike],
    data: Data,
    *,
    device: str = "cpu",
    report: Callable[[str], None] = silent,
    **options: Unpack[Options],
) -> Models:
    """Load models fine-tuned from one, with their heads and images, and check that they fit.

    What the individual models say about the images is computed once and kept in the cache.

    Args:
        base: state dict of the pretrained tower, safetensors.
        checkpoints: the same of every fine-tuned tower, by task.
        data: by task, as a study file has it: an image folder, a mapping such as ``{"path": ...}``.
        device: where models are merged and adapted, such as ``cuda:0``.
        report: takes one line of progress at a time.
        **options: where else files lie, and keys of a study.

    Raises:
        CapacityError: there is no such device.
        CheckpointError: a checkpoint or head does not fit.
        ConfigError: lists every wrong key and value.
        DataError: a task's images or labels do not fit.
    """
    keys: dict[str, Any] = dict(options)
    tower = keys.pop("tower", Path(base).with_name("tower.json"))
    heads = keys.pop("heads", {})
    unknown = [name for name in (*heads, *data) if name not in checkpoints]
    if unknown:
        raise ConfigError(
            f"no checkpoint of {', '.join(dict.fromkeys(unknown))}; tasks: {', '.join(checkpoints)}"
        )
    tasks = [
        {"name": name, "checkpoint": path, "head": heads.get(name, _head_beside(path))}
        | ({"data": data[name]} if name in data else {})
        for name, path in checkpoints.items()
    ]
    models = {"tower": tower, "base": base, "tasks": tasks}
    return _opened({"study": "notebook", **keys, "models": models}, "models", device, report)


def open_study(
    path: PathLike,
    *overrides: str,
    device: str = "cpu",
    report: Callable[[str], None] = silent,
) -> Models:
    """Load the models and images of a study file, maybe of a built-in zoo; its searches stay.

    Raises:
        CapacityError: there is no such device.
        CheckpointError: a checkpoint or head does not fit.
        ConfigError: lists every wrong key and value.
        DataError: a task's images or labels do not fit.
        ZooError: the built-in zoo cannot be built.
    """
    return _opened(study_content(Path(path), overrides), str(path), device, report)


def run_study(path: PathLike, *overrides: str, console: Console | None = None) -> SweepResult:
    """Do what ``distmerge sweep`` does, on Ray unless the study or an override says ``ray=false``.

    Args:
        path: a study file.
        *overrides: such as ``pipelines.0.trials=3``.
        console: shows progress; by default nothing does.

    Raises:
        DistmergeError: as ``distmerge sweep``.
    """
    study = checked_study(study_content(Path(path), overrides), str(path), HYPERS)
    return run_sweep(study, console or Console(quiet=True))


def _opened(
    content: Mapping[str, Any], place: str, device: str, report: Callable[[str], None]
) -> Models:
    plain = {**content, "pipelines": [pipeline_content("weight_averaging")], "ray": False}
    return Models(plain, opened(checked_study(plain, place, HYPERS), report, device))


def _head_beside(checkpoint: PathLike) -> Path:
    return Path(checkpoint).with_suffix(".head.safetensors")
