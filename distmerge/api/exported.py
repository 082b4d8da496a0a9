"""An exported model on labelled images."""

from pathlib import Path

import pandas as pd
import torch
from pydantic import ValidationError

from distmerge.api.asked import Data, PathLike
from distmerge.artefact import MODEL, LoadedModel, head_file, load
from distmerge.coordinator import Material, model_answers, model_logits
from distmerge.errors import ConfigError, DataError, problem_list
from distmerge.evaluation import clean_metrics, routed_metrics
from distmerge.methods.contract import MergedModel, Routed
from distmerge.models import Tower
from distmerge.spec import ImageCounts, TaskFiles, field_problems
from distmerge.tasks import Decoding, Task, load_tasks
from distmerge.zoo import cache_root

_COLUMNS = ["suite", "task", "metric", "value"]


def evaluate(folder: PathLike, data: Data, *, device: str = "cpu") -> pd.DataFrame:
    """Give the metrics of an exported model on the report images of ``data``, a row each.

    Args:
        folder: what ``distmerge export``, ``Merged.save`` or a sweep wrote.
        data: of some of its tasks, as ``open_models`` takes them.
        device: such as ``cpu`` or ``cuda:0``.

    Raises:
        CheckpointError: there is no such model.
        ConfigError: the model has no such task, or ``data`` are no description of data.
        DataError: the data cannot be read, or have other classes than the model.
    """
    loaded, place = load(folder, device), Path(folder)
    tasks = _report_tasks(loaded, data, place)
    model = loaded.model
    assert isinstance(model, MergedModel | Routed)
    config = loaded.description.tower
    material = Material(config, Tower(config), tasks, model.heads)
    labels = {task.name: torch.from_numpy(task.report.labels) for task in tasks}
    found = clean_metrics(
        {name: model_logits(material, model, name, "report") for name in labels}, labels
    )
    if isinstance(model, Routed):
        answers = {name: model_answers(material, model, name, "report") for name in labels}
        heads = {name: model.heads[name].to("cpu") for name in loaded.tasks}
        found += routed_metrics(answers, heads, labels)
    return pd.DataFrame(found)[_COLUMNS]


def _report_tasks(model: LoadedModel, data: Data, place: Path) -> tuple[Task, ...]:
    unknown = [name for name in data if name not in model.tasks]
    if unknown or not data:
        raise ConfigError(
            f"data: got {', '.join(unknown) or 'nothing'}; tasks: {', '.join(model.tasks)}"
        )
    try:
        files = tuple(
            TaskFiles(
                name=name,
                checkpoint=place / MODEL,
                head=place / head_file(name),
                data=where,
            )
            for name, where in data.items()
        )
    except ValidationError as error:
        raise ConfigError(problem_list("data", field_problems(error))) from error
    decoding = Decoding(model.description.tower.preprocess, Path(cache_root()) / "images", place)
    tasks = load_tasks(files, ImageCounts(), transductive=True, decoding=decoding)
    problems = [
        f"{task.name}: got {', '.join(task.classes)}; expected {', '.join(expected)}"
        for task in tasks
        if task.classes != (expected := model.classes[task.name])
    ]
    if problems:
        raise DataError(problem_list("classes are not the model's, in its order", problems))
    return tasks
