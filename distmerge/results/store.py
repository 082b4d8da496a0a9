"""The results dataset: one Parquet file per attempt at a run."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from distmerge.errors import ConfigError, ResultsError, problem_list
from distmerge.results.attempts import last_attempts
from distmerge.results.files import PATIENCE_S, Folder, open_folder, patiently
from distmerge.results.reading import read_rows
from distmerge.results.record import RunRecord
from distmerge.results.schema import arrow_schema, arrow_table
from distmerge.spec import Hyper, digest

if TYPE_CHECKING:
    import pandas as pd

# Characters that every reader takes literally in hive paths: nothing is URL-encoded.
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
PICTURES = "_pictures/"
"""What lies beside the rows: of every run, what a report shows and no row holds."""


class _Attempt(NamedTuple):
    number: int
    path: str


@dataclass(frozen=True)
class RunStore:
    """A results dataset, readable without distmerge: ``pandas.read_parquet(root)``."""

    root: str
    """Folder, or URL such as ``s3://bucket/prefix``; ``AWS_ENDPOINT_URL`` is honoured."""
    hypers: Mapping[str, type[Hyper]]
    """Hyperparameters of every known method; they fix the columns."""
    patience_s: float = PATIENCE_S
    """For how long to repeat what the storage does not answer."""

    @cached_property
    def _folder(self) -> Folder:
        return open_folder(self.root)

    @property
    def place(self) -> str:
        """Where the dataset lies: the URL, or the folder's absolute path."""
        return self.root if "://" in self.root else self._folder.root

    def check_writable(self) -> None:
        """Write an empty file and take it away, so that a wrong place is known before any work.

        Raises:
            ResultsError: the place cannot be written.
        """
        try:
            self._folder.probe()
        except (ResultsError, OSError) as error:
            raise ResultsError(f"storage {self.root}: cannot be written ({error})") from error

    def append(self, record: RunRecord, *, earlier: Collection[int] | None = None) -> None:
        """Store one attempt at a run, whole or not at all; storing it again changes nothing.

        An ok attempt, or a pruned one if none is ok, replaces every other attempt at its run, so
        that a reader that knows nothing of attempts counts no run twice; nothing replaces an ok
        attempt but a later ok one.

        Args:
            record: the attempt.
            earlier: numbers of the run's other attempts, from a writer that knows them all. Left
                out, all files of the method are listed for them, which on S3 takes the longer the
                more there are.

        Raises:
            ConfigError: lists the hyperparameters whose type has no column.
            ResultsError: the record cannot be stored, or the dataset cannot be written.
        """
        _refuse_unsafe_names(record)
        patiently(partial(self._append, record, earlier), self.patience_s)

    def _append(self, record: RunRecord, earlier: Collection[int] | None) -> None:
        table = arrow_table(record, self.hypers)
        folder = f"{self._folder.root}/study={record.study}/method={record.stages}"
        path = _attempt_path(folder, record.run_id, record.attempt)
        if record.status != "ok" and self._is_ok(path):
            return
        self._folder.write(path, _parquet(table))
        if record.status != "error":
            numbers = None if earlier is None else {*earlier, record.attempt}
            attempts = list(self._attempts(folder, record.run_id, numbers))
            self._withdraw_superseded(attempts, _parquet(table.slice(0, 0)))
        if record.pictures and record.status == "ok":  # last: no row is lost for a picture
            pictures = f"{self._folder.root}/{picture_name(record.study, record.run_id)}"
            self._folder.write(pictures, record.pictures)

    def records(self, study: str) -> "pd.DataFrame":
        """Give all rows of a study, of every attempt; no row if nothing is stored yet.

        Raises:
            ResultsError: a file is unreadable, or files disagree about a column's type.
        """
        schema = arrow_schema(self.hypers)
        return patiently(partial(read_rows, self._folder, study, schema), self.patience_s)

    def studies(self) -> list[str]:
        """Give the names of the studies in the dataset.

        Raises:
            ResultsError: the place cannot be listed.
        """
        root = self._folder.root
        found = {path.removeprefix(f"{root}/study=").split("/", 1)[0] for path in self._files()}
        return sorted(found)

    def version(self) -> str:
        """Give what changes whenever a file of rows or pictures comes or goes.

        Raises:
            ResultsError: the place cannot be listed.
        """
        return digest([*self._files(), *self.file_names(PICTURES[:-1])])

    def chosen_study(self, study: str | None, others: Iterable[str] = ()) -> str:
        """Give the study that is named, or the only one.

        Args:
            study: a name.
            others: studies that are here without a row.

        Raises:
            ConfigError: there is no such study, or several and none is named.
            ResultsError: nothing is stored yet, or the place cannot be listed.
        """
        names = sorted({*self.studies(), *others})
        if not names:
            raise ResultsError(f"{self.root}: no results here; a sweep makes them")
        if study is not None and study not in names:
            raise ConfigError(f"{self.root}: no study {study!r}; there are: {', '.join(names)}")
        if study is None and len(names) != 1:
            listed = f"{len(names)} studies ({', '.join(names)})"
            raise ConfigError(f"{self.root}: holds {listed}; choose one with --study")
        return study or names[0]

    def finished(self, study: str) -> "pd.DataFrame":
        """Give the rows of the runs that ended well, each run once.

        Raises:
            ResultsError: a file is unreadable, or files disagree about a column's type.
        """
        rows = last_attempts(self.records(study))
        return rows[rows["status"] == "ok"].reset_index(drop=True)

    def write_file(self, name: str, content: bytes) -> str:
        """Store a file beside the rows, whole or not at all; give its place.

        Args:
            name: path below the root; readers of the dataset skip names that begin with ``_``.
            content: the whole file.

        Raises:
            ResultsError: the place cannot be written.
        """
        path = f"{self._folder.root}/{name}"
        patiently(partial(self._folder.write, path, content), self.patience_s)
        return path

    def read_file(self, name: str) -> bytes:
        """Give the content of a file that ``write_file`` stored.

        Raises:
            ResultsError: there is none, or it cannot be read.
        """
        path = f"{self._folder.root}/{name}"
        return patiently(partial(self._folder.read, path), self.patience_s)

    def find_file(self, name: str) -> bytes:
        """Give the content of a file that ``write_file`` stored; nothing if there is none.

        Raises:
            ResultsError: it cannot be read.
        """
        path = f"{self._folder.root}/{name}"
        return patiently(partial(self._folder.find, path), self.patience_s)

    def file_names(self, folder: str) -> list[str]:
        """Give the names of the files that ``write_file`` stored in a folder; none without it.

        Raises:
            ResultsError: it cannot be listed.
        """
        path = f"{self._folder.root}/{folder}"
        found = patiently(partial(self._folder.files, path), self.patience_s)
        return [name.removeprefix(f"{path}/") for name in found]

    def remove_file(self, name: str) -> None:
        """Remove a file that ``write_file`` stored; it may already be gone.

        Args:
            name: path below the root, in a folder whose name begins with ``_``.

        Raises:
            ResultsError: it cannot be removed.
        """
        path = f"{self._folder.root}/{name}"
        patiently(partial(self._folder.remove, path), self.patience_s)

    def _files(self) -> list[str]:
        root = self._folder.root
        files = patiently(partial(self._folder.parquet_files, root), self.patience_s)
        return [path for path in files if path.startswith(f"{root}/study=")]

    def _withdraw_superseded(self, attempts: list[_Attempt], empty: bytes) -> None:
        """Withdraw what the last ok attempt replaces, or the last pruned one if none is ok.

        Writers that race agree on which one that is, so none withdraws it.
        """
        if len(attempts) == 1:
            return
        status = {a: self._folder.first_value(a.path, "status") for a in attempts}
        ended = (a for a in attempts if status[a] in {"ok", "pruned"})
        last = max(ended, key=lambda a: (status[a] == "ok", a), default=None)
        for attempt in attempts if last else ():
            if attempt != last:
                self._folder.withdraw(attempt.path, empty)

    def _attempts(
        self, folder: str, run_id: str, numbers: Collection[int] | None
    ) -> Iterator[_Attempt]:
        """Yield a run's attempts of these numbers, or all that are stored."""
        if numbers is not None:
            yield from (_Attempt(n, _attempt_path(folder, run_id, n)) for n in numbers)
            return
        for path in self._folder.parquet_files(folder):
            stem = path.rsplit("/", 1)[-1].removesuffix(".parquet")
            name, _, number = stem.rpartition("-")
            if name == run_id:
                yield _Attempt(int(number), path)

    def _is_ok(self, path: str) -> bool:
        return bool(self._folder.first_value(path, "status") == "ok")


def picture_name(study: str, run_id: str) -> str:
    """Give where a run's pictures lie below the root of the results."""
    return f"{PICTURES}{study}/{run_id}.safetensors"


def _attempt_path(folder: str, run_id: str, number: int) -> str:
    return f"{folder}/{run_id}-{number}.parquet"


def _refuse_unsafe_names(record: RunRecord) -> None:
    names = {"study": record.study, "stages": record.stages, "run_id": record.run_id}
    problems = [
        f"{key}: got {name!r}, expected letters, digits and _ . + -"
        for key, name in names.items()
        if not SAFE.fullmatch(name)
    ]
    if problems:
        raise ResultsError(problem_list("names that become paths", problems))


def _parquet(table: Any) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    buffer = pa.BufferOutputStream()
    parquet.write_table(table, buffer)
    content: bytes = buffer.getvalue().to_pybytes()
    return content
