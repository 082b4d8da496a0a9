"""What a sweep would do, found out from file headers without starting anything."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from distmerge.methods import HYPERS
from distmerge.spec import (
    AnyOf,
    ModelFiles,
    Pipeline,
    RayConfig,
    RunConfig,
    Study,
    described,
    digest,
    num_trials,
    run_config,
    search_space,
)
from distmerge.sweep.environment import set_ray_environment
from distmerge.sweep.sections import Row, Section, section_lines
from distmerge.sweep.seeds import other_seeds
from distmerge.zoo import cache_root, zoo_files

if TYPE_CHECKING:
    from distmerge.coordinator import Digests, FeatureKey, Source
    from distmerge.sweep.history import StoredRows
    from distmerge.sweep.inputs import Inputs
    from distmerge.sweep.search import Search


@dataclass(frozen=True)
class _Known:
    """All that is known of a study's inputs before it runs."""

    study: Study
    source: "Source"
    inputs: "Inputs"
    digests: "Digests | None"
    rows: "StoredRows"
    place: str
    fork: str
    """What is said of the runs that are taken over; nothing if none are to be."""

    @property
    def missing(self) -> "tuple[FeatureKey, ...] | None":
        """The facts that are not cached; None where that is not known."""
        from distmerge.sweep.prepare import feature_store

        if self.digests is None:
            return None
        store = feature_store(self.study)
        return tuple(key for key in self.digests.keys if key not in store)

    @property
    def keys(self) -> "tuple[FeatureKey, ...]":
        """The facts that the study needs; without digests they are addressed by name alone."""
        from distmerge.coordinator import feature_keys
        from distmerge.methods.contract import PRETRAINED
        from distmerge.sweep.prepare import crossed_roles
        from distmerge.tasks import ROLES

        if self.digests is not None:
            return self.digests.keys
        seen = [task.name for task in self.source.seen]
        roles = (*ROLES, *self.study.levels)
        images = dict.fromkeys(((task, role) for task in seen for role in roles), "")
        images |= dict.fromkeys(((task, "report") for task in self.study.unseen), "")
        models = dict.fromkeys((task.name for task in self.source.files.tasks), "")
        others = {(task, role): seen for task in seen for role in crossed_roles(self.study)}
        return feature_keys("", {**models, PRETRAINED: ""}, models, images, others)


def plan_lines(study: Study, parent: str | None = None) -> Iterator[str]:
    """Yield what the study would run, on what, where, and what is done already.

    Lines of a section are indented; warnings come last but for the results.

    Args:
        study: what would run.
        parent: a study in the same storage whose runs would be taken over.

    Raises:
        CapacityError: the cluster of ``RAY_ADDRESS`` does not answer, or is too small.
        CheckpointError: lists everything of the checkpoints, heads and data that does not fit.
        ConfigError: stages or unseen tasks do not fit, the study was run with other content, or
            ``parent`` has no rows.
        DataError: a task's images do not fit.
        ResultsError: the storage cannot be read.
    """
    from distmerge.results import RunStore
    from distmerge.sweep.changes import check_unchanged

    yield f"study {study.study}, seed {study.seed}, protocol {study.protocol}"
    files = study.models if isinstance(study.models, ModelFiles) else zoo_files(study.models.zoo)
    if files is None:
        check_unchanged(RunStore(study.storage, HYPERS), study)
        yield from section_lines(Section("runs", list(_run_rows(study))))
        yield from section_lines(_cluster(study))
        yield "models: the zoo is not built yet; the sweep builds it first, once"
        return
    known = _known(study, files, parent)
    for section in _sections(known):
        yield from section_lines(section)
    yield ""
    yield f"results: {known.place}; runs still to do: {_remaining(known)}"


def _known(study: Study, files: ModelFiles, parent: str | None) -> _Known:
    from distmerge.results import RunStore
    from distmerge.sweep.changes import check_unchanged
    from distmerge.sweep.fork import with_taken
    from distmerge.sweep.history import stored_rows
    from distmerge.sweep.inputs import read_inputs
    from distmerge.sweep.known import known_place, remembered
    from distmerge.sweep.prepare import (
        check_batches,
        check_corrections,
        check_tower,
        check_unseen,
        crossed_roles,
        study_source,
    )

    check_corrections(study)
    source = study_source(study, files)
    check_unseen(study, source)
    inputs = read_inputs(source)
    check_tower(study, inputs.config)
    adapt = inputs.certain("adapt")
    check_batches(study, {t.name: adapt[t.name] for t in source.seen if t.name in adapt})
    digests = remembered(known_place(cache_root(), source, crossed_roles(study)))
    store = RunStore(study.storage, HYPERS)
    check_unchanged(store, study, digests)
    rows, fork = stored_rows(store, study), ""
    if parent is not None:
        rows, fork = with_taken(rows, store, parent, study, digests)
    return _Known(study, source, inputs, digests, rows, store.place, fork)


def _sections(known: _Known) -> Iterator[Section]:
    from distmerge.sweep.footprint import feature_rows, memory

    nodes = _nodes(known.study)
    actors = _num_actors(known, nodes)
    held = memory(
        known.study,
        known.inputs,
        num_tasks=len(known.source.seen),
        num_actors=actors,
        keys=known.keys,
    )
    yield Section("tower", list(_tower_rows(known)))
    yield Section("tasks", list(_task_rows(known)))
    yield Section("runs", list(_run_rows(known.study, known)))
    yield _cluster(known.study)
    if nodes and actors is not None:
        yield Section("placement", list(_placement_rows(known, nodes, actors)))
    yield Section("memory", held.rows)
    yield Section("features", list(feature_rows(known.inputs, known.keys, known.missing)))
    warnings = (*known.inputs.warnings, *held.warnings)
    yield Section("warnings", [(text,) for text in warnings] or [("none",)])


def _tower_rows(known: _Known) -> Iterator[Row]:
    config = known.inputs.config
    yield "architecture", config.description
    yield "preprocess", config.preprocess.description


def _task_rows(known: _Known) -> Iterator[Row]:
    from distmerge.tasks import ROLES

    yield "task", "classes", *ROLES, "checkpoint"
    for name, stock in known.inputs.stocks.items():
        about = "" if stock.exact else "~"
        counts = [f"{about}{stock.images[role]}" if stock.images else "?" for role in ROLES]
        unseen = "  unseen: reported on, not merged" if name in known.study.unseen else ""
        yield name, stock.classes or "?", *counts, known.inputs.types[name] + unseen


def _run_rows(study: Study, known: _Known | None = None) -> Iterator[Row]:
    for entry in study.pipelines:
        runs = int(num_trials(entry, HYPERS, study.sampler))
        more = max(len(other_seeds(study, pipeline)) for pipeline in entry.alternatives)
        again = f", then the best one with {more} more {'seed' if more == 1 else 'seeds'}"
        text = f"{entry.name}: {runs} {'run' if runs == 1 else 'runs'}{again if more else ''}"
        yield (f"{text}; {_time(known, entry)}" if known else text,)
        shown: dict[str, object] = {}
        for pipeline in entry.alternatives:
            searched = search_space(pipeline, HYPERS) if runs > 1 else {}
            shown |= run_config(pipeline, {}, study.seed, HYPERS).values()
            shown |= {key: described(range_) for key, range_ in searched.items()}
        yield from ((f"  {key} = {value}",) for key, value in shown.items())
    warm = _search(known, study.pipelines).warm if known else 0
    yield from [(f"warm start from {warm} runs of earlier studies",)] if warm else []
    yield from [(known.fork,)] if known and known.fork else []


def _time(known: _Known, entry: Pipeline | AnyOf) -> str:
    """Give the seconds that earlier runs of the same study and stages let expect."""
    names = [pipeline.name for pipeline in entry.alternatives]
    own = known.rows.own[known.rows.own["status"] == "ok"]
    rows = own[own["method"].isin(names)].drop_duplicates("run_id")
    left = _search(known, (entry,)).remaining
    if not left:
        return "all done"
    if rows.empty:
        return f"{left} to do, time unknown (no earlier run)"
    median = float(rows["wall_s"].median())
    based = f"median {median:.1f} s of {len(rows)} earlier {'run' if len(rows) == 1 else 'runs'}"
    return f"{left} to do, about {left * median:.0f} s of computing ({based})"


def _search(known: _Known, pipelines: tuple[Pipeline | AnyOf, ...]) -> "Search":
    """Give the search as it stands; without digests no stored run counts as done."""
    import optuna

    from distmerge.run import run_id
    from distmerge.sweep.history import past_runs
    from distmerge.sweep.search import Search

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # one line per pipeline says nothing
    study = known.study.model_copy(update={"pipelines": pipelines})
    identify = partial(run_id, study, known.digests) if known.digests else _by_settings
    return Search(study, HYPERS, identify, past_runs(known.rows, study, identify))


def _by_settings(config: RunConfig) -> str:
    return digest([config.name, sorted(config.values().items()), config.seed])


def _remaining(known: _Known) -> str:
    left = _search(known, known.study.pipelines).remaining
    unsure = known.digests is None and bool(known.fork or not known.rows.own.empty)
    return f"at most {left} (no sweep has read these files yet)" if unsure else str(left)


def _cluster(study: Study) -> Section:
    config = study.ray
    if not isinstance(config, RayConfig):
        return Section("cluster", [("ray: false, everything in this process",)])
    actors = config.actors or "one per model, or as many as fit"
    text = (
        f"ray: actors: {actors}, of {config.actor_cpus:g} CPU {config.actor_gpus:g} GPU; "
        f"trials of {config.trial_cpus:g} CPU {config.trial_gpus:g} GPU; "
        f"gradients by the {config.gradient}"
    )
    return Section("cluster", [(text,)])


def _nodes(study: Study) -> dict[str, dict[str, float]]:
    """Give the nodes of the cluster of ``RAY_ADDRESS``; none without an address."""
    if not os.environ.get("RAY_ADDRESS") or study.ray is False:
        return {}
    set_ray_environment()
    import ray

    from distmerge.actors import cluster

    with cluster():
        return {
            f"{node['NodeManagerAddress']} {node['NodeID'][:6]}": node["Resources"]
            for node in ray.nodes()
            if node["Alive"]
        }


def _num_actors(known: _Known, nodes: Mapping[str, Mapping[str, float]]) -> int | None:
    if not isinstance(known.study.ray, RayConfig) or not nodes:
        return None
    from distmerge.actors import num_actors

    kinds = dict.fromkeys(kind for resources in nodes.values() for kind in resources)
    total = {kind: sum(node.get(kind, 0.0) for node in nodes.values()) for kind in kinds}
    return num_actors(known.study.ray, len(known.inputs.types), total)


def _placement_rows(
    known: _Known, nodes: Mapping[str, Mapping[str, float]], actors: int
) -> Iterator[Row]:
    from distmerge.actors import actor_resources, assign
    from distmerge.methods.contract import PRETRAINED
    from distmerge.sweep.footprint import spread

    assert isinstance(known.study.ray, RayConfig)
    models = [name for name in known.inputs.types if name != PRETRAINED] + [PRETRAINED]
    placed = spread(assign(models, actors), actor_resources(known.study.ray), nodes)
    yield "node", "CPU", "GPU", "actors and their models (likely)"
    for name, groups in placed.items():
        has = [f"{nodes[name].get(kind, 0):g}" for kind in ("CPU", "GPU")]
        yield name, *has, "; ".join(", ".join(group) for group in groups) or "none"
