"""How a sweep would do its trials without what trials share: the peers of ``sweep_throughput``.

A peer is given the study's files with their digests, so that it hashes nothing.
"""

import json
import pickle
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from distmerge.coordinator import Digests, FeatureKey, Source
from distmerge.methods import HYPERS
from distmerge.spec import RunConfig, Study, run_config


class Inputs(NamedTuple):
    """What a trial is about."""

    study: Study
    source: Source
    digests: Digests
    features: Path
    """Folder of the individual models' features; what is missing there is computed."""

    @property
    def needed(self) -> tuple[FeatureKey, ...]:
        """What a run asks for: every task's own model on its select and report images."""
        keys = self.digests.keys
        return tuple(key for key in keys if key.role != "adapt" and key.model == key.task)


def trial_config(study: Study, scaling: float) -> RunConfig:
    """Give the run of one coefficient."""
    (pipeline,) = study.alternatives
    return run_config(pipeline, {"task_arithmetic.scaling": scaling}, study.seed, HYPERS)


def score_of(inputs: Inputs, scaling: float) -> float:
    """Give a run's score, everything loaded anew in this process."""
    from distmerge.coordinator import FeatureStore, LocalModels, load_material, local_features

    material = load_material(inputs.source)
    bank = local_features(
        inputs.source,
        material,
        inputs.needed,
        FeatureStore(inputs.features),
        block=inputs.study.block,
        report=lambda _: None,
    )
    return _score(inputs, material, LocalModels(material, bank), scaling)


def score_by_gang(inputs: Inputs, scaling: float) -> float:
    """Give a run's score by actors of its own, each of which loads a model and asks it."""
    from distmerge.actors import FeatureBank, Load, Pool, streamed_features
    from distmerge.coordinator import FeatureStore, LocalModels, load_material
    from distmerge.spec import RayConfig

    models = [task.name for task in inputs.source.seen]
    config = RayConfig(actor_cpus=0.01, actors=len(models))
    with (
        tempfile.TemporaryDirectory() as place,
        Pool(inputs.source, Load(models), config) as pool,
    ):
        store, block = FeatureStore(Path(place)), inputs.study.block
        refs = streamed_features(
            pool, inputs.needed, store, config, block=block, report=lambda _: None
        )
        material = load_material(inputs.source)
        bank = FeatureBank(refs, config.timeout_s)
        return _score(inputs, material, LocalModels(material, bank), scaling)


def _score(inputs: Inputs, material: Any, models: Any, scaling: float) -> float:
    from distmerge.coordinator import load_vectors
    from distmerge.run import Session, run

    vectors = load_vectors(inputs.source, material.tower)
    session = Session(inputs.study, material, vectors, inputs.digests, models)
    _, record = run(session, trial_config(inputs.study, scaling), lambda _: None)
    return next(m.value for m in record.metrics if m.metric.startswith("score:"))


def _tuned(inputs: Inputs, scalings: list[float]) -> dict[float, float]:
    """Give the scores of trials of Ray Tune, each with a gang of actors."""
    from distmerge.sweep.environment import set_ray_environment

    set_ray_environment()
    from ray import tune

    from distmerge.actors import cluster

    def trial(config: dict[str, float], inputs: Inputs) -> dict[str, float]:
        return {"score": score_by_gang(inputs, config["scaling"])}

    with cluster(), tempfile.TemporaryDirectory() as place:
        found = tune.Tuner(
            tune.with_resources(tune.with_parameters(trial, inputs=inputs), {"cpu": 0.9}),
            param_space={"scaling": tune.grid_search(scalings)},
            run_config=tune.RunConfig(storage_path=place, verbose=0),
        ).fit()
        assert not found.num_errors, found.errors
        return {result.config["scaling"]: result.metrics["score"] for result in found}


def main(kind: str, inputs: str, *scalings: str) -> None:
    """Print the scores of runs by coefficient, as JSON, on the last line."""
    import torch

    torch.set_num_threads(1)
    given = pickle.loads(Path(inputs).read_bytes())  # noqa: S301  # written by sweep_throughput
    values = [float(scaling) for scaling in scalings]
    alone = partial(score_of, given)
    scores = _tuned(given, values) if kind == "gang" else {v: alone(v) for v in values}
    print(json.dumps({str(value): score for value, score in scores.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
