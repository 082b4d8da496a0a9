"""What a sweep would do, found out without starting anything."""

from collections.abc import Iterator

from distmerge.errors import DistmergeError
from distmerge.methods import HYPERS
from distmerge.spec import (
    ModelFiles,
    Pipeline,
    RayConfig,
    Study,
    described,
    run_config,
    search_space,
)
from distmerge.sweep.seeds import other_seeds
from distmerge.zoo import zoo_files


def plan_lines(study: Study) -> Iterator[str]:
    """Yield what the study would run, on what, where, and what is done already.

    Raises:
        CheckpointError: a checkpoint or head does not fit.
        DataError: a task's images or labels do not fit.
        ResultsError: the storage cannot be read.
    """
    yield f"study {study.study}, seed {study.seed}, protocol {study.protocol}"
    files = study.models if isinstance(study.models, ModelFiles) else zoo_files(study.models.zoo)
    for pipeline in study.pipelines:
        yield from _pipeline_lines(study, pipeline)
    yield from _cluster_lines(study)
    if files is None:
        yield "models: the zoo is not built yet; the sweep builds it first, once"
    else:
        yield from _input_lines(study)


def _pipeline_lines(study: Study, pipeline: Pipeline) -> Iterator[str]:
    space = search_space(pipeline, HYPERS)
    runs = pipeline.trials if space else 1
    more = len(other_seeds(study, pipeline))
    again = f", then the best one with {more} more {'seed' if more == 1 else 'seeds'}"
    yield f"{pipeline.name}: {runs} {'run' if runs == 1 else 'runs'}{again if more else ''}"
    searched = space if runs > 1 else {}
    for key, value in run_config(pipeline, {}, study.seed, HYPERS).values().items():
        yield f"    {key} = {described(searched[key]) if key in searched else value}"


def _cluster_lines(study: Study) -> Iterator[str]:
    config = study.ray
    if not isinstance(config, RayConfig):
        yield "ray: false, everything in this process"
        return
    actors = config.actors or "one per model, or as many as fit"
    yield (
        f"ray: actors: {actors}, of {config.actor_cpus:g} CPU {config.actor_gpus:g} GPU; "
        f"trials of {config.trial_cpus:g} CPU {config.trial_gpus:g} GPU; "
        f"gradients by the {config.gradient}"
    )


def _input_lines(study: Study) -> Iterator[str]:
    from distmerge.sweep.prepare import prepare

    prepared = prepare(study, _no_report)
    missing = [key for key in prepared.digests.keys if key not in prepared.features]
    for task in prepared.material.tasks:
        yield (
            f"task {task.name}: {len(task.classes)} classes; images: {len(task.adapt)} adapt, "
            f"{len(task.select)} select, {len(task.report)} report"
        )
    size = prepared.vectors.vectors.nbytes + prepared.vectors.base.nbytes
    yield (
        f"{prepared.material.config.backbone}: {prepared.vectors.layout.num_parameters:,} "
        f"parameters; task vectors {size / 2**20:.0f} MiB per node"
    )
    yield (
        f"features: {len(missing)} of {len(prepared.digests.keys)} roles to compute, "
        "the rest is cached"
    )
    yield f"results: {prepared.store.place}; runs still to do: {prepared.search.remaining}"


def _no_report(line: str) -> None:
    raise DistmergeError(f"planning must not start work: {line}")
