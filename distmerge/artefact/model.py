"""A merged model that answers about pictures, or about texts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from distmerge.artefact.description import Description
from distmerge.artefact.pictures import Picture, Pictures, Unreadable, listed, tower_input
from distmerge.artefact.texts import text_input
from distmerge.errors import ConfigError, DataError, problem_list
from distmerge.methods.contract import MergedModel, Model, Routed
from distmerge.spec import Preprocess
from distmerge.tasks import ModelInput, Rows

_BATCH = 32  # pictures or texts that are held at once


class Prediction(NamedTuple):
    """What a model sees in one picture, or reads in one text."""

    task: str
    """Whose classes were asked for; where none were, the task that the picture was routed to."""
    label: str
    """Name of the likeliest class."""
    probability: float
    """Its softmax probability among the classes of the task."""
    weight: float | None = None
    """How much of the task's vector the picture got; None where the task was given."""


class _Batch(NamedTuple):
    """Some samples; those that cannot be read have no row."""

    rows: Tensor
    unreadable: tuple[Unreadable | None, ...]


@dataclass(frozen=True)
class LoadedModel:
    """One model for all its tasks.

    Pictures are PIL images, paths, or uint8 arrays (height, width, 3); one of them or several. A
    model of texts takes strings in their place.
    """

    description: Description
    model: Model
    rows: Rows
    """How samples become the tower's input."""

    def __repr__(self) -> str:
        """Say what was merged into which tower: a notebook shows the last line of a cell."""
        found = self.description
        return f"LoadedModel({found.method} of {', '.join(self.tasks)}; {found.tower.backbone})"

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return self.description.tasks

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """Class names per task, in the order of the logits."""
        return self.description.classes

    @property
    def reads(self) -> Literal["pictures", "texts"]:
        """What the model is asked about."""
        return "pictures" if self.rows.kind == "images" else "texts"

    def features(self, images: Pictures) -> Float[Tensor, "image feature"]:
        """Give the tower's features, not normalised, before any task's own layers.

        Raises:
            DataError: names every picture that cannot be read.
        """
        return torch.cat([self._features(rows) for rows in self._all_read(images)])

    def logits(self, images: Pictures, task: str) -> Float[Tensor, "image class"]:
        """Give the logits over the classes of ``task``.

        Raises:
            ConfigError: there is no such task.
            DataError: names every picture that cannot be read.
        """
        self._check(task)
        return torch.cat([self.model.logits(rows, task) for rows in self._all_read(images)])

    def predict(self, images: Pictures, task: str | None = None) -> list[Prediction]:
        """Give the likeliest class of every picture; a routed model finds the task by itself.

        Raises:
            ConfigError: there is no such task, or none is given and the model is not routed.
            DataError: names every picture that cannot be read.
        """
        self._check(task)
        rows = self._all_read(images)
        return [answer for batch in rows for answer in self._predictions(batch, task)]

    def try_predict(
        self, images: Pictures, task: str | None = None
    ) -> Iterator[Prediction | Unreadable]:
        """Yield what ``predict`` gives, picture by picture, or why one cannot be read.

        Raises:
            ConfigError: there is no such task, or none is given and the model is not routed.
        """
        self._check(task)
        for batch in self._batches(images):
            readable = len(batch.rows) > 0
            found = iter(self._predictions(batch.rows, task) if readable else ())
            yield from (reason or next(found) for reason in batch.unreadable)

    def _check(self, task: str | None) -> None:
        known = f"tasks: {', '.join(self.tasks)}"
        if task is None and not self.description.routed:
            raise ConfigError(f"a merged model has to be told the task; {known}")
        if task is not None and task not in self.tasks:
            raise ConfigError(f"no such task: {task!r}; {known}")

    def _features(self, rows: ModelInput) -> Float[Tensor, "sample feature"]:
        if isinstance(self.model, Routed):
            return self.model.answers(rows).features
        assert isinstance(self.model, MergedModel)
        named = self.model.vectors.layout.unflatten(self.model.weights)
        with torch.inference_mode():
            return self.model.tower.features(named, rows.to(self.model.weights.device))

    def _predictions(self, rows: ModelInput, task: str | None) -> list[Prediction]:
        if task is not None:
            return self._named(self.model.logits(rows, task), task)
        assert isinstance(self.model, Routed)
        features, routing, _ = self.model.answers(rows)
        weights, numbers = (part.tolist() for part in routing.max(dim=1))
        found = []
        for row, weight, number in zip(features, weights, numbers, strict=True):
            chosen = self.tasks[number]
            answer = self._named(self.model.heads[chosen](row[None]), chosen)[0]
            found.append(answer._replace(weight=weight))
        return found

    def _named(self, logits: Float[Tensor, "image class"], task: str) -> list[Prediction]:
        chances, numbers = (part.tolist() for part in logits.softmax(dim=1).max(dim=1))
        names = self.classes[task]
        answers = zip(numbers, chances, strict=True)
        return [Prediction(task, names[number], chance) for number, chance in answers]

    def _all_read(self, images: Pictures) -> list[Tensor]:
        """Give the input, batch by batch.

        Raises:
            DataError: names every picture that cannot be read, or there is none.
        """
        pictures = listed(images)
        if not pictures:
            raise DataError(f"no {self.reads} were given; expected one or more")
        batches = list(self._batches(images))
        reasons = [reason for batch in batches for reason in batch.unreadable]
        problems = [
            f"{_name(picture, number)}: {reason.reason}"
            for number, (picture, reason) in enumerate(zip(pictures, reasons, strict=True))
            if reason is not None
        ]
        if problems:
            title = f"{len(problems)} of {len(pictures)} {self.reads} cannot be read"
            raise DataError(problem_list(title, problems))
        return [batch.rows for batch in batches]

    def _batches(self, images: Pictures) -> Iterator[_Batch]:
        pictures = listed(images)
        for start in range(0, len(pictures), _BATCH):
            read = [self._input(p) for p in pictures[start : start + _BATCH]]
            rows = [row for row in read if isinstance(row, Tensor)]
            unreadable = tuple(r if isinstance(r, Unreadable) else None for r in read)
            yield _Batch(torch.stack(rows) if rows else torch.empty(0), unreadable)

    def _input(self, sample: Picture) -> Tensor | Unreadable:
        preprocess = self.description.tower.preprocess
        if isinstance(preprocess, Preprocess):
            return tower_input(sample, preprocess)
        return text_input(sample, self.rows, preprocess)


def _name(picture: object, number: int) -> str:
    return (
        str(picture)
        if isinstance(picture, str) or hasattr(picture, "__fspath__")
        else (f"picture {number}")
    )
