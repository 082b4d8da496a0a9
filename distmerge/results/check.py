"""Whether a results dataset is whole. Nothing is ever changed."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from distmerge.errors import ResultsError
from distmerge.remote import open_url
from distmerge.results.files import PROBE, Folder, open_folder
from distmerge.results.row_file import NAME, Finding, RowFile, inspect
from distmerge.results.runs import REFERENCES
from distmerge.results.store import PICTURES

if TYPE_CHECKING:
    import pyarrow as pa

RECIPES, BEST, RUNS, STUDIES = "_recipes/", "_best/", "_runs/", "_studies/"
"""What lies beside the rows: models, exported models, checkpoints, states of searches."""
WATCHED = ("_logs/", "_tensorboard/")
LEFT = "left by a writer that was killed"


def check(root: str) -> tuple[Finding, ...]:
    """Give what is wrong in a results dataset, sorted by place; every file of rows is read.

    Looked for are: torn files, temporary files and directory markers that were left behind,
    foreign files, columns of types that do not agree, newer schema versions, names and partition
    keys that the rows contradict, NaN, runs and attempts that are there twice, runs without their
    recipe, recipes and best models without their run, states of runs that have ended.

    Args:
        root: folder, or URL such as ``s3://bucket/prefix``.

    Raises:
        ResultsError: there is no such dataset, or it cannot be listed.
    """
    folder = open_folder(root)
    places = [path.removeprefix(f"{folder.root}/") for path in folder.files(folder.root)]
    if not places:
        raise ResultsError(f"{root}: no results here; a sweep makes them")
    inspected = [
        inspect(folder.filesystem, folder.root, place)
        for place in places
        if NAME.fullmatch(place) and not _is_hidden(place)
    ]
    files = [file for file, _ in inspected if file is not None]
    found = chain(
        chain.from_iterable(findings for _, findings in inspected),
        _strays(places),
        _markers(folder),
        _disagreements(files),
        _duplicates(files),
        _without_recipe(files, places),
        _without_rows(files, places),
        _states(files, places),
    )
    return tuple(sorted(found))


def _is_hidden(place: str) -> bool:
    return place.rsplit("/", 1)[-1].startswith(".")


def _strays(places: Sequence[str]) -> Iterator[Finding]:
    """Yield what a killed writer or another program left."""
    for place in places:
        if _is_hidden(place):
            if place.endswith(".tmp"):
                mend = "readers skip it; delete it if no sweep is running"
                yield Finding(place, LEFT, mend)
        elif place.startswith("_"):
            if not place.startswith((PROBE, RECIPES, PICTURES, BEST, RUNS, STUDIES, *WATCHED)):
                yield Finding(place, "foreign file", "readers skip it; move it elsewhere")
        elif not NAME.fullmatch(place):
            mend = "move it elsewhere: pandas.read_parquet takes every file here for rows"
            yield Finding(place, "foreign file", mend)


def _markers(folder: Folder) -> Iterator[Finding]:
    """Yield the empty objects that stand for folders on S3; pyarrow does not tell them apart.

    Readers skip those below folders of ours, whose names begin with ``_``.
    """
    if folder.filesystem.type_name != "s3":
        return
    try:
        s3, path = open_url(f"s3://{folder.root}")
        keys = s3.find(path)
    except (ImportError, OSError) as error:
        problem = f"directory markers were not looked for ({error})"
        yield Finding("", problem, "install distmerge[s3]; pyarrow takes them for folders")
        return
    for key in keys:
        place = key.removeprefix(f"{folder.root}/")
        if place.endswith("/") and not place.startswith("_"):
            problem = "directory marker: s3fs, and so pandas, takes it for a file"
            yield Finding(place, problem, f"aws s3 rm 's3://{key}', that key alone")


def _disagreements(files: Sequence[RowFile]) -> Iterator[Finding]:
    """Yield columns whose type no reader can bring together with that of most files."""
    kinds: dict[str, Counter[pa.DataType]] = defaultdict(Counter)
    for file in files:
        for field in file.schema:
            kinds[field.name][field.type] += 1
    usual = {name: counted.most_common(1)[0][0] for name, counted in kinds.items()}
    for file in files:
        for field in file.schema:
            common = usual[field.name]
            if field.type != common and not _agree(field.type, common):
                problem = f"{field.name}: {field.type}, in other files {common}"
                mend = "no reader reads the dataset; move the file elsewhere"
                yield Finding(file.place, problem, mend)


def _agree(one: "pa.DataType", other: "pa.DataType") -> bool:
    import pyarrow as pa

    schemas = [pa.schema([("column", kind)]) for kind in (one, other)]
    try:
        pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowException:
        return False
    return True


def _duplicates(files: Sequence[RowFile]) -> Iterator[Finding]:
    """Yield the files to delete of attempts and of runs that readers would count twice."""
    attempts: dict[tuple[str, int], list[RowFile]] = defaultdict(list)
    for file in files:
        attempts[file.run_id, file.attempt].append(file)
    for first, *others in attempts.values():
        for other in others:
            problem = f"the same attempt as {first.place}"
            yield Finding(other.place, problem, "delete one of the two")
    good: dict[str, list[RowFile]] = defaultdict(list)
    for run_id, attempt in attempts:
        if attempts[run_id, attempt][0].is_ok:
            good[run_id].append(attempts[run_id, attempt][0])
    for found in good.values():
        *earlier, last = sorted(found, key=lambda file: file.attempt)
        for file in earlier:
            problem = f"the run ended well once more, in {last.place}"
            yield Finding(file.place, problem, "delete it: the last attempt that ended well counts")


def _without_recipe(files: Sequence[RowFile], places: Sequence[str]) -> Iterator[Finding]:
    there = set(places)
    for file in files:
        recipe = f"{RECIPES}{file.study}/{file.run_id}.safetensors"
        if file.is_ok and file.method not in REFERENCES and recipe not in there:
            problem = f"its model is lost: there is no {recipe}"
            mend = "keep the rows, or delete the file and run the sweep again to get both"
            yield Finding(file.place, problem, mend)


def _without_rows(files: Sequence[RowFile], places: Iterable[str]) -> Iterator[Finding]:
    good = {(file.study, file.run_id) for file in files if file.is_ok}
    for place in places:
        if not place.startswith((RECIPES, PICTURES, BEST)) or _is_hidden(place):
            continue
        _, study, *rest = place.split("/")
        run_id = rest[0].removesuffix(".safetensors") if rest else ""
        is_inputs = place.startswith(RECIPES) and run_id.startswith("inputs-")
        if not is_inputs and (study, run_id) not in good:
            mend = "run the sweep again, or delete it"
            yield Finding(place, "belongs to no run that ended well", mend)


def _states(files: Sequence[RowFile], places: Iterable[str]) -> Iterator[Finding]:
    """Yield what a writer did not come to remove after the rows of a run that ended well."""
    good = {f"{RUNS}{file.study}/{file.run_id}" for file in files if file.is_ok}
    for place in places:
        if place.startswith(RUNS) and place.rpartition(".")[0] in good:
            yield Finding(place, LEFT, "delete it: its run has ended well and needs no state")
