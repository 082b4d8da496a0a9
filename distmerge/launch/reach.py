"""Whether a cluster finds the files of a study under the paths that the study gives."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from distmerge.launch.package import Package
from distmerge.spec import ModelFiles, Study, TaskFiles, ZeroShotHead, is_url

_OF_DATA = ("path", "root", "adapt", "select", "report", "classes")


class View(NamedTuple):
    """What a cluster sees of this machine's files."""

    package: Package
    here: bool = False
    """Whether all its nodes are this machine."""
    shared: tuple[Path, ...] = ()
    """Folders that every node has under the same path as this machine."""


def unseen(study: Study, file: Path, view: View) -> Iterator[str]:
    """Yield what of a study the cluster cannot see, and why.

    Args:
        study: what would run.
        file: where the study stands.
        view: what the cluster sees.
    """
    for key, place in [("the study", str(file)), *_inputs(study)]:
        yield from _input_problem(key, place, view)
    for key, output in _outputs(study):
        if not (view.here or is_url(output) or _is_shared(output, view)):
            yield (
                f"{key}: {output} is a path on this machine, where the cluster cannot write; give "
                f"a URL such as {key}=s3://BUCKET/{key}, or --shared FOLDER if every node has it"
            )


def elsewhere(study: Study) -> list[str]:
    """Give the inputs that are not on this machine: the cluster has them, or nobody."""
    return [place for _, place in _inputs(study) if is_url(place) or not _exists(place)]


def absolute_outputs(study: Study) -> list[str]:
    """Give overrides for relative outputs, by absolute path: a job has a folder of its own."""
    return [
        f"{key}={Path(output).expanduser().absolute()}"
        for key, output in _outputs(study)
        if not (is_url(output) or Path(output).is_absolute())
    ]


def _input_problem(key: str, place: str, view: View) -> Iterator[str]:
    if is_url(place):
        return
    if not Path(place).expanduser().is_absolute():
        if not view.package.has(place):
            yield (
                f"{key}: {place} does not travel with the job (.rayignore, .gitignore); give its "
                "absolute path on the cluster, or a URL"
            )
    elif not (view.here or _is_shared(place, view)) and _exists(place):
        yield (
            f"{key}: {place} is on this machine alone; give its path on the cluster, a URL, or "
            "--shared FOLDER if every node has it under this path"
        )


def _is_shared(place: str, view: View) -> bool:
    path = Path(place).expanduser()
    return any(path.is_relative_to(folder.absolute()) for folder in view.shared)


def _exists(place: str) -> bool:
    path = Path(place).expanduser().absolute()
    return path.exists() or any(Path(path.anchor).glob(str(path.relative_to(path.anchor))))


def _outputs(study: Study) -> Iterator[tuple[str, str]]:
    yield "storage", study.storage
    if study.features is not None:
        yield "features", study.features


def _inputs(study: Study) -> Iterator[tuple[str, str]]:
    """Yield every path and URL that a study reads, with the key that names it."""
    if isinstance(study.models, ModelFiles):
        yield "models.tower", str(study.models.tower)
        yield "models.base", str(study.models.base)
        for task in study.models.tasks:
            yield from _of_task(task)
    yield from (("warm_start", place) for place in study.warm_start if "/" in place)


def _of_task(task: TaskFiles) -> Iterator[tuple[str, str]]:
    yield f"{task.name}.checkpoint", str(task.checkpoint)
    files = task.head.files if isinstance(task.head, ZeroShotHead) else {"": task.head}
    yield from ((f"{task.name}.head.{name}".rstrip("."), str(path)) for name, path in files.items())
    if isinstance(task.data, Path):
        yield f"{task.name}.data", str(task.data)
        return
    for name in _OF_DATA:
        place = getattr(task.data, name, None)
        if isinstance(place, str):
            yield f"{task.name}.data.{name}", place
