"""A study's files as one table, whatever package versions wrote them."""

from typing import TYPE_CHECKING

from distmerge.errors import ResultsError
from distmerge.results.files import Folder
from distmerge.results.schema import PARTITION_COLUMNS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# A file listed a moment ago may be gone: a later attempt has replaced it. Then look again.
LOOKS = 5


def read_rows(folder: Folder, study: str, schema: "pa.Schema") -> "pd.DataFrame":
    """Give all rows of a study: the columns of ``schema``, study, method, then others' columns.

    Raises:
        ResultsError: a file is unreadable, or files disagree about a column's type.
    """
    from pyarrow import ArrowException

    place = f"{folder.root}/study={study}"
    for _ in range(LOOKS):
        try:
            table = _read(folder, folder.parquet_files(place), schema)
        except FileNotFoundError:
            continue
        except (OSError, ArrowException) as error:
            raise ResultsError(f"{place}: cannot read the results ({error})") from error
        frame: pd.DataFrame = table.to_pandas()
        return frame
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
