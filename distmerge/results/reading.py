"""A dataset's files as one table, whatever package versions wrote them."""

from typing import TYPE_CHECKING

from distmerge.errors import ResultsError
from distmerge.results.collapse import MEAN
from distmerge.results.files import Folder, open_folder
from distmerge.results.schema import PARTITION_COLUMNS, SCHEMA_VERSION, arrow_schema

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# A file listed a moment ago may be gone: a later attempt has replaced it. Then look again.
LOOKS = 5


UNNAMED_SCORE = "score"
"""What early versions called ``score:CRITERION``."""
SIGNS = {"accuracy": 1, "entropy": -1, "agreement": 1}
"""Criteria of early versions; a search by one maximises it with this sign."""


def load(root: str, study: str | None = None) -> "pd.DataFrame":
    """Give the rows of a results dataset, of every attempt, in today's terms.

    What an older version did not store is null; what it called differently has today's name.

    Args:
        root: folder, or URL such as ``s3://bucket/prefix``.
        study: the rows of this one only.

    Raises:
        ResultsError: there is no such dataset or study, a file is unreadable or of a newer
            version, or files disagree about a column's type.
    """
    rows = read_rows(open_folder(root), study, arrow_schema({}))
    if rows.empty:
        wanted = f"no study {study!r}" if study else "no results"
        raise ResultsError(f"{root}: {wanted} here; a sweep makes them")
    return rows


def read_rows(folder: Folder, study: str | None, schema: "pa.Schema") -> "pd.DataFrame":
    """Give all rows of a study: the columns of ``schema``, study, method, then others' columns.

    Args:
        folder: the dataset.
        study: None for all of them.
        schema: the columns that are there even if no file has them.

    Raises:
        ResultsError: a file is unreadable or of a newer version, or files disagree about a
            column's type.
    """
    from pyarrow import ArrowException

    place = folder.root if study is None else f"{folder.root}/study={study}"
    prefix = f"{folder.root}/study="
    for _ in range(LOOKS):
        try:
            paths = [path for path in folder.parquet_files(place) if path.startswith(prefix)]
            table = _read(folder, paths, schema)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise folder.failure(place, "read the results", error) from error
        except ArrowException as error:
            raise ResultsError(f"{place}: cannot read the results ({error})") from error
        return _in_todays_terms(table.to_pandas(), place)
    raise ResultsError(f"{place}: files kept vanishing in {LOOKS} looks; is something else there?")


def _read(folder: Folder, paths: list[str], schema: "pa.Schema") -> "pa.Table":
    import pyarrow as pa
    from pyarrow import dataset

    keys = pa.schema([(name, pa.string()) for name in PARTITION_COLUMNS])
    wanted = pa.unify_schemas([schema, keys])
    if not paths:
        return wanted.empty_table()
    factory = dataset.FileSystemDatasetFactory(
        folder.filesystem,
        paths,
        dataset.ParquetFileFormat(),
        dataset.FileSystemFactoryOptions(
            partition_base_dir=folder.root, partitioning=dataset.partitioning(keys, flavor="hive")
        ),
    )
    # Every footer is read, as another version's file may have a column that the first has not.
    found = factory.inspect(promote_options="permissive", fragments=None)
    return factory.finish(
        pa.unify_schemas([wanted, found], promote_options="permissive")
    ).to_table()


def _in_todays_terms(rows: "pd.DataFrame", place: str) -> "pd.DataFrame":
    """Give rows of older versions as today's would be.

    Raises:
        ResultsError: there are rows of a newer version.
    """
    newer = rows["schema_version"] > SCHEMA_VERSION
    if newer.any():
        raise ResultsError(
            f"{place}: written by a newer distmerge (schema version "
            f"{rows['schema_version'].max():.0f}, this one reads up to {SCHEMA_VERSION}); "
            "update distmerge"
        )
    means = rows[(rows["suite"] == "select") & (rows["task"] == MEAN)]
    unnamed = means[means["metric"] == UNNAMED_SCORE]
    for criterion, sign in () if unnamed.empty else SIGNS.items():
        values = means[means["metric"] == criterion].set_index(["run_id", "attempt"])["value"]
        own = unnamed.join(sign * values.rename("own"), on=["run_id", "attempt"])
        of_this = own.index[own["own"] == own["value"]]
        rows.loc[of_this, "metric"] = f"score:{criterion}"
        unnamed = unnamed.drop(of_this)
    return rows
