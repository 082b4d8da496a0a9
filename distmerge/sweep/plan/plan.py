"""What a sweep would do, found out from file headers without starting anything."""

from collections.abc import Iterator, Sequence
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
from distmerge.sweep.plan.layout import (
    actor_places,
    alive_nodes,
    cluster_section,
    decided,
    placement_rows,
)
from distmerge.sweep.plan.sections import Row, Section, section_lines
from distmerge.sweep.search.seeds import other_seeds
from distmerge.zoo import cache_root, zoo_files

if TYPE_CHECKING:
    from distmerge.actors import Place
    from distmerge.coordinator import Digests, FeatureKey, Source
    from distmerge.sweep.inputs import Inputs
    from distmerge.sweep.search.history import StoredRows
    from distmerge.sweep.search.search import Search


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
        yield from section_lines(cluster_section(study))
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
    from distmerge.sweep.search.history import stored_rows

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
    from distmerge.sweep.plan.footprint import feature_rows, memory

    study, nodes = known.study, alive_nodes(known.study)
    places: Sequence[Place] = ()
    if nodes and isinstance(study.ray, RayConfig):
        study = study.model_copy(update={"ray": decided(study.ray, nodes)})
        places = actor_places(study, known.source, known.inputs.config, nodes)
    held = memory(study, known.inputs, known.source, places=places, keys=known.keys)
    yield Section("tower", list(_tower_rows(known)))
    yield Section("tasks", list(_task_rows(known)))
    yield Section("runs", list(_run_rows(study, known)))
    yield cluster_section(study)
    if places:
        yield Section("placement", list(placement_rows(study, nodes, places)))
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
    from distmerge.sweep.search.history import past_runs
    from distmerge.sweep.search.search import Search

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
