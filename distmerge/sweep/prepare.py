"""Load and check everything that a study names, before any work starts."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import optuna
import torch

from distmerge.coordinator import (
    Digests,
    FeatureStore,
    Material,
    Source,
    found_source,
    load_material,
    load_vectors,
    source_digests,
    with_digests,
    with_head_files,
)
from distmerge.errors import ConfigError, DataError, problem_list
from distmerge.methods import HYPERS, METHODS
from distmerge.models import tower_shapes
from distmerge.results import RunStore, open_folder
from distmerge.run import run_id
from distmerge.spec import (
    AnyTower,
    Choice,
    IntUniform,
    ModelFiles,
    Pipeline,
    Study,
    TaskFiles,
    TextTower,
    TowerConfig,
    Value,
    run_config,
    search_space,
)
from distmerge.sweep.inputs import read_inputs
from distmerge.sweep.known import known_place, remember
from distmerge.sweep.search.history import past_runs, stored_rows
from distmerge.sweep.search.search import Search
from distmerge.tasks import Role
from distmerge.taskvectors import TaskVectors, last_layer
from distmerge.zoo import build_zoo, cache_root

Report = Callable[[str], None]
LEAST_TASKS = 2


@dataclass(frozen=True)
class Loaded:
    """A study whose inputs are loaded and found to fit."""

    study: Study
    source: Source
    material: Material
    vectors: TaskVectors
    digests: Digests
    features: FeatureStore


@dataclass(frozen=True)
class Prepared(Loaded):
    """The same with its results and its search."""

    store: RunStore
    search: Search


def prepare(study: Study, report: Report) -> Prepared:
    """Give the study's inputs, checked, and its search; nothing is stored.

    Raises:
        CheckpointError: a checkpoint or head does not fit.
        ConfigError: an unseen task is unknown, too few are left to merge, or a correction follows
            a router.
        DataError: a task's images or labels do not fit, or are fewer than a method's batch.
        ResultsError: the storage cannot be read.
        ZooError: the built-in zoo cannot be built.
    """
    loaded = load_inputs(study, report)
    store = RunStore(study.storage, HYPERS)
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # one line per pipeline says nothing
    return Prepared(**vars(loaded), store=store, search=new_search(store, study, loaded.digests))


def load_inputs(study: Study, report: Report) -> Loaded:
    """Give the study's inputs, checked.

    Raises:
        CheckpointError: a checkpoint or head does not fit.
        ConfigError: an unseen task is unknown, too few are left to merge, or a correction follows
            a router.
        DataError: a task's images or labels do not fit, or are fewer than a method's batch.
        ZooError: the built-in zoo cannot be built.
    """
    check_corrections(study)
    features = feature_store(study)
    if features.shared:
        features.shared.probe()
    source = study_source(study, _files(study, report))
    check_unseen(study, source)
    check_tower(study, read_inputs(source).config)
    known = known_place(cache_root(), source, crossed_roles(study))
    source = with_digests(source)
    material = load_material(source)
    source = with_head_files(source, (*material.tasks, *material.unseen))
    source = found_source(source, material)
    check_batches(study, {task.name: len(task.adapt) for task in material.tasks})
    vectors = load_vectors(source, material.tower)
    digests = source_digests(source, material, crossed_roles(study))
    remember(known, digests)
    return Loaded(study, source, material, vectors, digests, features)


def new_search(store: RunStore, study: Study, digests: Digests) -> Search:
    """Give the search of a study, which knows the runs that are stored.

    Raises:
        ConfigError: a study that ``warm_start`` names has no results.
        ResultsError: the storage cannot be read.
    """
    identify = partial(run_id, study, digests)
    return Search(study, HYPERS, identify, past_runs(stored_rows(store, study), study, identify))


def study_source(study: Study, files: ModelFiles) -> Source:
    """Give where the study's models and images come from."""
    return Source(
        _absolute(files),
        study.images,
        study.protocol == "transductive",
        study.unseen,
        study.levels,
        study.corruption_seed,
        Path(cache_root()) / "images",
        bank=study.bank,
        precision=study.precision,
        activations_mb=study.activations_mb,
    )


def feature_store(study: Study) -> FeatureStore:
    """Give where the individual models' features are kept.

    Raises:
        ResultsError: the study's ``features`` is no place that can be opened.
    """
    shared = None if study.features is None else open_folder(study.features)
    return FeatureStore(Path(cache_root()) / "features", shared)


def limit_threads(cpus: float) -> None:
    """Use the cores that were asked for."""
    torch.set_num_threads(max(1, int(cpus)))


def _files(study: Study, report: Report) -> ModelFiles:
    if isinstance(study.models, ModelFiles):
        return study.models
    return build_zoo(study.models.zoo, report=report)


def _absolute(files: ModelFiles) -> ModelFiles:
    """Give the files by absolute path: a worker has a working directory of its own."""
    tasks = tuple(
        TaskFiles(
            name=task.name,
            checkpoint=_place(task.checkpoint),
            head=_place(task.head) if isinstance(task.head, Path) else task.head.absolute(),
            data=_place(task.data) if isinstance(task.data, Path) else task.data.absolute(),
        )
        for task in files.tasks
    )
    return ModelFiles(tower=_place(files.tower), base=_place(files.base), tasks=tasks)


def _place(path: Path) -> Path:
    return path.expanduser().absolute()


def crossed_roles(study: Study) -> tuple[Role, ...]:
    """Give the roles on which a method needs every task's model on every task's images."""
    stages = [stage for pipeline in study.alternatives for stage in pipeline.stages]
    return tuple(dict.fromkeys(role for stage in stages for role in METHODS[stage].crossed))


def check_batches(study: Study, adapt_images: Mapping[str, int]) -> None:
    """Check that every merged task has the images that one step draws.

    Raises:
        DataError: lists the pipelines and tasks where it has not.
    """
    problems = [
        f"pipelines.{i}: {stage.method} draws {stage.hyper.images_per_step} samples per step; "
        f"task {task} has {available} adapt samples"
        for i, pipeline in _numbered(study)
        for stage in run_config(pipeline, _largest(pipeline), study.seed, HYPERS).stages
        for task, available in adapt_images.items()
        if stage.hyper.images_per_step > available
    ]
    if problems:
        raise DataError(problem_list("batches are larger than the data", problems))


def _numbered(study: Study) -> Iterator[tuple[int, Pipeline]]:
    for i, entry in enumerate(study.pipelines):
        yield from ((i, pipeline) for pipeline in entry.alternatives)


def _largest(pipeline: Pipeline) -> dict[str, Value]:
    """Give the largest value of every searched whole number."""
    highest: dict[str, Value] = {}
    for key, range_ in search_space(pipeline, HYPERS).items():
        if isinstance(range_, IntUniform):
            highest[key] = range_.high
        elif isinstance(range_, Choice) and all(isinstance(v, int) for v in range_.values):
            highest[key] = max(v for v in range_.values if isinstance(v, int))
    return highest


def check_corrections(study: Study) -> None:
    """Check that every correction has one tower to correct.

    Raises:
        ConfigError: lists the pipelines where it has not.
    """
    problems = []
    for i, pipeline in _numbered(study):
        first, *corrections = run_config(pipeline, {}, study.seed, HYPERS).stages
        if corrections and not first.hyper.correctable:
            problems.append(
                f"pipelines.{i}: {corrections[0].method} cannot follow {first.method}, whose "
                f"router gives every image a tower of its own; set {first.method}.router: none"
            )
    if problems:
        raise ConfigError(problem_list("stages that do not fit", problems))


def check_tower(study: Study, config: AnyTower) -> None:
    """Check that the study's methods and levels are made for such a tower.

    Raises:
        ConfigError: lists those that are not.
    """
    stages = dict.fromkeys(stage for pipeline in study.alternatives for stage in pipeline.stages)
    problems = [
        f"{stage}: got {config.backbone}; expected a VisionTransformer of open_clip, whose tokens "
        "it reads and routes; leave its pipelines out"
        for stage in stages
        if METHODS[stage].needs_vision_transformer and not isinstance(config, TowerConfig)
    ]
    problems += _layer_problems(study, config)
    if study.levels and isinstance(config, TextTower):
        problems.append("levels: corruptions are made for images, not for texts; leave levels out")
    if problems:
        raise ConfigError(problem_list("the tower does not fit the study", problems))


def _layer_problems(study: Study, config: AnyTower) -> Iterator[str]:
    """Yield the pipelines that want a layer, by default or by choice, that the tower has not."""
    names = tuple(tower_shapes(config))
    for i, pipeline in _numbered(study):
        ranges = search_space(pipeline, HYPERS)
        choices = {k: r.values for k, r in ranges.items() if isinstance(r, Choice)}
        points = [{}, *({k: value} for k, values in choices.items() for value in values)]
        layers = {
            stage.hyper.tower_layer: stage.method
            for point in points
            for stage in run_config(pipeline, point, study.seed, HYPERS).stages
        }
        for layer, method in layers.items():
            if layer and not last_layer(names, layer):
                yield (
                    f"pipelines.{i}: {method}.layer: a {config.backbone} has no layer {layer}; "
                    f"set {method}.layer: head"
                )


def check_unseen(study: Study, source: Source) -> None:
    """Check that unseen tasks exist, and that enough others are left.

    Raises:
        ConfigError: they do not, or too few are.
    """
    names = [task.name for task in source.files.tasks]
    unknown = [name for name in study.unseen if name not in names]
    if unknown:
        raise ConfigError(f"unseen: no such task: {', '.join(unknown)}; tasks: {', '.join(names)}")
    if len(source.seen) < LEAST_TASKS:
        raise ConfigError(
            f"unseen: {len(source.seen)} tasks are left to merge, expected {LEAST_TASKS} or more"
        )
