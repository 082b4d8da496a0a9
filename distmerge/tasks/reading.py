"""A task's folder of arrays, whose samples stay on disk."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from distmerge.errors import DataError
from distmerge.spec import Preprocess, Tokens
from distmerge.tasks.found import file_array_digest
from distmerge.tasks.preview import Preview
from distmerge.tasks.samples import (
    SAMPLES,
    LabelledSamples,
    Samples,
    array_kind,
    sample_problem,
)


class ArrayFolder(NamedTuple):
    """What a folder as of ``load_tasks`` holds; every method raises ``DataError``."""

    place: str
    """Names the task to the user."""
    folder: Path
    preprocess: Preprocess | Tokens
    cache: Path
    """Folder of what was found out before."""

    def classes(self) -> tuple[str, ...]:
        """Give the class names.

        Raises:
            DataError: they cannot be read, or are no list of two or more.
        """
        try:
            classes = json.loads((self.folder / "classes.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{self.place}: cannot read classes.json ({error})") from error
        if not isinstance(classes, list) or len(classes) < 2:
            raise DataError(
                f"{self.place}: classes.json: expected a list of two or more class names"
            )
        return tuple(str(name) for name in classes)

    def samples(self, role: str, count: int | None) -> Samples:
        """Give the first ``count`` samples of a role; None: all.

        Raises:
            DataError: they are missing, malformed or too few.
        """
        array, name = self._stock(role), self._name(role)
        if not len(array) or (count is not None and count > len(array)):
            raise DataError(
                f"{self.place}: {name} holds {len(array)} {SAMPLES[array_kind(self.preprocess)]}, "
                f"expected at least {count or 1}"
            )
        taken = array[:count]
        return Samples(taken, file_array_digest(self.folder / name, taken, self.cache))

    def labelled(self, role: str, count: int | None, num_classes: int) -> LabelledSamples:
        """Give the same with labels.

        Raises:
            DataError: samples or labels are missing, malformed, too few or out of range.
        """
        samples = self.samples(role, count)
        labels = np.asarray(self._labels(role))[: len(samples)]
        if labels.min() < 0 or labels.max() >= num_classes:
            raise DataError(
                f"{self.place}: {role}.labels.npy: labels from {labels.min()} to {labels.max()}, "
                f"expected 0 to {num_classes - 1} for the {num_classes} names in classes.json"
            )
        return LabelledSamples(samples, labels.astype(np.int64))

    def preview(self, roles: Sequence[str]) -> Preview:
        """Give class names and counts by the files' headers alone.

        Raises:
            DataError: lists every file that is missing or malformed.
        """
        problems, counts, classes = list[str](), {}, None
        try:
            classes = self.classes()
        except DataError as error:
            problems.append(str(error))
        for role in roles:
            try:
                counts[role] = len(self._stock(role))
                if role != "adapt":
                    self._labels(role)
            except DataError as error:
                problems.append(str(error))
        if problems:
            raise DataError("; ".join(problems))
        return Preview(classes, counts, exact=True)

    def _name(self, role: str) -> str:
        return f"{role}.{array_kind(self.preprocess)}.npy"

    def _stock(self, role: str) -> np.ndarray:
        array = self._mapped(self._name(role))
        problem = sample_problem(array, self.preprocess)
        if problem:
            raise DataError(f"{self.place}: {self._name(role)}: {problem}")
        return array

    def _labels(self, role: str) -> np.ndarray:
        name, stock = f"{role}.labels.npy", len(self._mapped(self._name(role)))
        labels = self._mapped(name)
        if labels.shape != (stock,) or labels.dtype.kind not in "iu":
            raise DataError(
                f"{self.place}: {name}: got {labels.dtype} {labels.shape}, "
                f"expected integers ({stock},), one for each sample"
            )
        return labels

    def _mapped(self, name: str) -> np.ndarray:
        try:
            array = np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{self.place}: cannot read {name} ({error})") from error
        if not isinstance(array, np.ndarray):
            raise DataError(
                f"{self.place}: {name}: got an archive, expected one array in .npy format"
            )
        return array
