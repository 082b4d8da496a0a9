"""Curves of runs as TensorBoard's event files, beside the rows."""

import importlib.util
import logging
import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from distmerge.errors import ConfigError, ResultsError
from distmerge.results import RunStore
from distmerge.sweep.progress.steps import Point, Told

WRITE_S = 30.0
"""How often a run's file is written."""


def check_tensorboard() -> None:
    """Refuse a study that wants event files where they cannot be written.

    Raises:
        ConfigError: the package tensorboard is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise ConfigError(
            "tensorboard: true needs the package tensorboard, which is not installed: "
            "pip install 'distmerge[tensorboard]', or leave the setting out"
        )


class EventFiles:
    """One folder per run, ``_tensorboard/STUDY/METHOD-RUN``; a file for every attempt at it.

    Losses and scores are by problem; coefficients are means, by task. A run that goes on from a
    saved state hides the steps after it that an earlier attempt has drawn. Files that cannot be
    written cost the sweep its curves from then on, and a warning; no run.
    """

    def __init__(self, store: RunStore, study: str) -> None:
        self._store, self._study = store, study
        self._open: dict[str, _Curves] = {}
        self._is_lost = False

    def draw(self, told: Told) -> None:
        """Draw the steps that a run tells."""
        points = [point for point in told.points if math.isfinite(point.loss)]
        if not points or self._is_lost:
            return
        with self._or_lost():
            if told.run_id not in self._open:
                folder = f"_tensorboard/{self._study}/{told.method}-{told.run_id}"
                self._open[told.run_id] = _Curves(self._store, folder, first=points[0].step)
            curves = self._open[told.run_id]
            for point in points:
                curves.add(point)
            curves.write()

    def close(self, run_id: str | None = None) -> None:
        """Finish the file of a run, or of all."""
        for name in [*self._open] if run_id is None else [run_id]:
            if name in self._open:
                with self._or_lost():
                    self._open.pop(name).close()

    @contextmanager
    def _or_lost(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ResultsError) as error:
            self._is_lost = True
            logging.getLogger(__name__).warning(
                "TensorBoard's event files cannot be written, curves end here: %s", error
            )


class _Curves:
    """One event file: in its place where that is a folder, else sent there from a temporary one."""

    def __init__(self, store: RunStore, folder: str, *, first: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._store, self._folder = store, folder
        self._temporary: Any = tempfile.TemporaryDirectory() if "://" in store.root else None
        place = self._temporary.name if self._temporary else f"{store.place}/{folder}"
        self._writer: Any = SummaryWriter(place, purge_step=first, flush_secs=int(WRITE_S))
        self._sent = time.monotonic()

    def add(self, point: Point) -> None:
        """Add what is known of a step."""
        values = {f"loss/{point.problem}": point.loss}
        if point.score is not None:
            values[f"score/{point.problem}"] = point.score
        values |= {f"coefficient/{task}": mean for task, mean in point.coefficients.items()}
        for name, value in values.items():
            self._writer.add_scalar(name, value, point.step)

    def write(self) -> None:
        """Send the file if it is time to."""
        if self._temporary and time.monotonic() - self._sent >= WRITE_S:
            self._writer.flush()
            with suppress(ResultsError):  # a storage that is away for a while; it is sent again
                self._send(replace(self._store, patience_s=0.0))

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()
        if self._temporary:
            self._send(self._store)
            self._temporary.cleanup()

    def _send(self, store: RunStore) -> None:
        for path in Path(self._temporary.name).iterdir():
            store.write_file(f"{self._folder}/{path.name}", path.read_bytes())
        self._sent = time.monotonic()
