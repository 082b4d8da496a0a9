"""A study's files by their headers: everything that does not fit, all at once, no tensor read."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from distmerge.coordinator import Source
from distmerge.errors import CheckpointError, DataError, DistmergeError, problem_list
from distmerge.models import (
    CheckpointFile,
    head_shapes,
    header_problems,
    metadata_problems,
    tower_shapes,
    zero_shot_problems,
)
from distmerge.spec import AnyTower, TaskFiles, ZeroShotHead, load_tower_config
from distmerge.tasks import (
    ROLES,
    ArrayFolder,
    Decoding,
    Preview,
    Role,
    array_kind,
    described_data,
    previewed,
)

_UNREADABLE = (
    "models that cannot be read; expected tower.json, base.safetensors and, of every task, "
    "NAME.safetensors and NAME.head.safetensors, as `distmerge import SOURCE FOLDER --name NAME` "
    "writes them"
)


@dataclass(frozen=True)
class Stock:
    """A task's classes and images by what their files say."""

    classes: int
    """How many classes; 0: only the sweep can count them."""
    images: Mapping[Role, int] | None
    """How many of each role; None: only the sweep can count them."""
    names: tuple[str, ...] | None = None
    """What the classes are called."""
    exact: bool = True
    """Whether the images are counted, and not only estimated."""


@dataclass(frozen=True)
class Inputs:
    """What is known of a study's files before anything is loaded."""

    config: AnyTower
    types: Mapping[str, str]
    """How each model's tensors are stored."""
    stocks: Mapping[str, Stock]
    warnings: tuple[str, ...]

    @property
    def counts(self) -> dict[tuple[str, Role], int]:
        """How many images each role of each task has, as far as that is known."""
        return {
            (task, role): number
            for task, stock in self.stocks.items()
            for role, number in (stock.images or {}).items()
        }

    def certain(self, role: Role) -> dict[str, int]:
        """Give how many images of a role the tasks have of which that is no estimate."""
        return {
            task: stock.images[role]
            for task, stock in self.stocks.items()
            if stock.images and stock.exact
        }

    @property
    def counted(self) -> bool:
        """Whether all images are counted or estimated."""
        return all(stock.images is not None for stock in self.stocks.values())

    @property
    def exact(self) -> bool:
        """Whether no count is an estimate."""
        return all(stock.exact for stock in self.stocks.values())


def read_inputs(source: Source) -> Inputs:
    """Give what the headers say.

    Raises:
        CheckpointError: lists every file, tensor and head that does not fit, and wrong data too.
        DataError: lists what is wrong with the tasks' data, if nothing else is.
    """
    files, problems = dict[str, CheckpointFile](), list[str]()
    for name, path in source.checkpoints.items():
        try:
            files[name] = CheckpointFile(path)
        except CheckpointError as error:
            problems.append(f"{name}: {error}")
    config = _config(source, problems)
    shapes = tower_shapes(config)
    for name, file in files.items():
        found = [*header_problems(file, shapes), *metadata_problems(file, config)]
        problems += [f"{name}: {problem}" for problem in found]
    stocks, wrong_data = {}, []
    for task in source.files.tasks:
        try:
            stocks[task.name] = _stock(task, source, config)
            problems += _head_problems(task, stocks[task.name], config)
        except DistmergeError as error:
            wrong_data.append(str(error))
    if problems or wrong_data:
        kind = CheckpointError if problems else DataError
        raise kind(problem_list("inputs that do not fit", [*problems, *wrong_data]))
    types = {name: _types(file) for name, file in files.items()}
    return Inputs(config, types, stocks, tuple(_warnings(source, types, stocks)))


def _config(source: Source, problems: Sequence[str]) -> AnyTower:
    """Give the tower's description.

    Raises:
        CheckpointError: it cannot be read; lists the checkpoints' problems too.
    """
    try:
        return load_tower_config(source.files.tower)
    except CheckpointError as error:
        raise CheckpointError(problem_list(_UNREADABLE, [str(error), *problems])) from error


def _head_problems(task: TaskFiles, stock: Stock, config: AnyTower) -> Iterator[str]:
    if isinstance(task.head, ZeroShotHead):
        for problem in zero_shot_problems(task.head, stock.names, config.output_dim):
            yield f"task {task.name}: {problem}"
        return
    expected = head_shapes(stock.classes, config.output_dim)
    try:
        found = list(header_problems(CheckpointFile(task.head), expected, "the head"))
    except CheckpointError as error:
        found = [str(error)]
    for problem in found:
        yield f"task {task.name}: head for {stock.classes} classes: {problem}"


def _stock(task: TaskFiles, source: Source, config: AnyTower) -> Stock:
    """Give a task's classes and image counts, as far as its files tell.

    Raises:
        CheckpointError: the head, which tells the classes where the data do not, cannot be read.
        DataError: data are missing or do not fit, or hold too few images.
    """
    data = described_data(task, config.preprocess, transductive=source.transductive)
    if isinstance(data, Path):
        roles = [role for role in ROLES if not (role == "adapt" and source.transductive)]
        place = f"task {task.name}, {task.data}"
        found = ArrayFolder(place, data, config.preprocess, source.cache).preview(roles)
    else:
        try:
            Decoding(config.preprocess, source.cache, source.files.tower.parent).rows()
            found = previewed(data, array_kind(config.preprocess))
        except DataError as error:
            raise DataError(f"task {task.name}, data: {error}") from error
    classes = len(found.classes) if found.classes else _head_classes(task)
    if found.counts is None:
        return Stock(classes, None, found.classes)
    images = _asked(found, source, f"task {task.name}, {task.data}")
    return Stock(classes, images, found.classes, found.exact)


def _head_classes(task: TaskFiles) -> int:
    if not isinstance(task.head, Path):
        return 0
    bias = CheckpointFile(task.head).tensors.get("bias")
    return bias.shape[0] if bias and bias.shape else 0


def _asked(found: Preview, source: Source, place: str) -> dict[Role, int]:
    """Give how many images of every role a study takes.

    Raises:
        DataError: there are fewer than it asks for.
    """
    assert found.counts is not None
    asked = source.images.model_dump()
    roles = [role for role in ROLES if not (role == "adapt" and source.transductive)]
    few = [
        f"{role} holds {found.counts[role]} samples, expected at least {asked[role] or 1}"
        for role in roles
        if found.exact and found.counts[role] < (asked[role] or 1)
    ]
    if few:
        raise DataError(f"{place}: {'; '.join(few)}")
    images = {role: min(asked[role] or found.counts[role], found.counts[role]) for role in roles}
    images.setdefault("adapt", images["report"])
    return images | dict.fromkeys(source.levels, images["report"])


def _types(file: CheckpointFile) -> str:
    kinds = Counter(info.dtype for info in file.tensors.values())
    return "+".join(sorted(kinds))


def _warnings(
    source: Source, types: Mapping[str, str], stocks: Mapping[str, Stock]
) -> Iterator[str]:
    if len(set(types.values())) > 1:
        listed = ", ".join(f"{name} {kind}" for name, kind in types.items())
        yield (
            f"checkpoints are stored in different types ({listed}): a task vector then holds "
            "rounding of the coarser one"
        )
    same: dict[Path, list[str]] = {}
    for name, path in source.checkpoints.items():
        same.setdefault(path.resolve(), []).append(name)
    for path, names in same.items():
        if len(names) > 1:
            yield f"{' and '.join(names)} are the same file: {path}"
    uncounted = [name for name, stock in stocks.items() if stock.images is None]
    if uncounted:
        yield f"samples are counted once they are decoded, by the sweep: {', '.join(uncounted)}"
