"""What a study was when it was first run, kept beside its rows, and how it differs today."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from distmerge.errors import ConfigError, ResultsError, problem_list
from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.spec import Pipeline, Study, described, run_config, search_space

if TYPE_CHECKING:
    from distmerge.coordinator import Digests

STEERING = {
    *("study", "models", "pipelines", "repeats", "sampler", "objectives", "asha", "warm_start"),
    *("storage", "features", "block", "ray", "sanity", "checkpoint_s", "trial_timeout_s"),
    *("activations_mb", "logs", "tensorboard"),
}
"""Keys that decide which runs are done, where and how, but no number of a run that is done. What
models and pipelines decide is looked at by itself: by content, and by the settings they come to."""
_UNORDERED = frozenset({"levels", "unseen"})
"""Keys whose order decides no number."""

Content = Mapping[str, Any]


def check_unchanged(store: RunStore, study: Study, digests: "Digests | None" = None) -> None:
    """Refuse a study whose rows would not compare with those that it has already.

    More runs are no change: trials, repeats, pipelines, another way to search. Nor is where and how
    they are computed. Models and images are compared where ``digests`` tells them.

    Raises:
        ConfigError: lists what differs, key by key.
        ResultsError: the storage cannot be read, or what the study was is damaged there.
    """
    _refuse(store, study, {**_decisive(study), **(_inputs(digests) if digests else {})})


def record_study(store: RunStore, study: Study, digests: "Digests") -> None:
    """Keep a study beside its rows, with the content of its models and images.

    Raises:
        ConfigError: lists which models or images are others now.
        ResultsError: the storage cannot be read or written, or what the study was is damaged there.
    """
    content = {**_decisive(study), **_inputs(digests)}
    _refuse(store, study, content)
    kept = {
        "study": study.model_dump(mode="json"),
        "decisive": {**_recorded(store, study), **content},  # also of pipelines left out today
    }
    store.write_file(_name(study), json.dumps(kept, indent=1).encode())


def _refuse(store: RunStore, study: Study, content: Content) -> None:
    old = _recorded(store, study)
    problems = list(_differences({**_defaults(study, old), **old}, content)) if old else []
    if problems:
        title = (
            f"study {study.study} was run with other content, whose rows in {store.place} do not "
            "compare with these"
        )
        fork = (
            "put the old values back, or start a study of another name from what is the same: "
            "--fork NAME"
        )
        raise ConfigError(problem_list(title, [*problems, fork]))


def _differences(old: Content, new: Content) -> Iterator[str]:
    yield from (
        f"{key}: was {json.dumps(old[key])}, now {json.dumps(new[key])}"
        for key in old
        if key in new and old[key] != new[key]
    )


def _recorded(store: RunStore, study: Study) -> Content:
    """Give what decided the numbers of the rows that are there; nothing if there is no record.

    Raises:
        ResultsError: the record cannot be read, or is damaged.
    """
    content = store.find_file(_name(study))
    try:
        return _ordered(dict(json.loads(content)["decisive"])) if content else {}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ResultsError(
            f"{store.place}/{_name(study)}: damaged ({type(error).__name__}: {error}); expected "
            "what the study was; delete it if study file and models are those of the rows: it is "
            "written anew, and nothing tells a change until then"
        ) from error


def _defaults(study: Study, old: Content) -> dict[str, Any]:
    """Give what stood for the keys that the version of a record did not know yet."""
    plain = Study.model_construct(study=study.study, models=study.models, pipelines=study.pipelines)
    found = dict(_flat(plain.model_dump(mode="json", exclude=STEERING)))
    for pipeline in study.alternatives:
        prefix = f"pipelines.{pipeline.name}."
        if any(key.startswith(prefix) for key in old):
            default = run_config(Pipeline(stages=pipeline.stages), {}, study.seed, HYPERS)
            found |= {f"{prefix}{key}": value for key, value in default.values().items()}
    return found


def _decisive(study: Study) -> dict[str, Any]:
    """Give what decides a run's numbers, by dotted key."""
    settings = study.model_dump(mode="json", exclude=STEERING)
    found = _ordered(dict(_flat(settings)))
    for pipeline in study.alternatives:
        searched = search_space(pipeline, HYPERS)
        for key, value in run_config(pipeline, {}, study.seed, HYPERS).values().items():
            shown = described(searched[key]) if key in searched else value
            found[f"pipelines.{pipeline.name}.{key}"] = shown
    return found


def _inputs(digests: "Digests") -> dict[str, Any]:
    """Give what the models and images are, by content."""
    files = {"checkpoint": digests.checkpoints, "head": digests.heads}
    return {
        "models.tower (content)": digests.tower,
        "models.base (content)": digests.base,
        "models.tasks (names)": list(digests.checkpoints),
        **{
            f"models.{task}.{kind} (content)": digest
            for kind, by_task in files.items()
            for task, digest in by_task.items()
        },
        "images of all tasks (content)": digests.images,
    }


def _ordered(content: Content) -> dict[str, Any]:
    return {k: sorted(value) if k in _UNORDERED else value for k, value in content.items()}


def _flat(settings: Content, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _name(study: Study) -> str:
    return f"_studies/{study.study}.json"
