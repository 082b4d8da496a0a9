"""A sweep of short trials against one process per trial, and against a gang of actors per trial."""

import json
import logging
import pickle
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from benchmarks.clock import ROOT
from benchmarks.rows import Row
from benchmarks.trial_peers import Inputs
from benchmarks.watched import Seen, watched
from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.spec import ModelFiles, load_study
from distmerge.sweep.prepare import prepare
from distmerge.zoo import build_zoo

CORES = 2  # trials at a time, on both sides; each has one core
FEW = 10  # trials of the sweep whose memory is compared
_SCALING = "task_arithmetic.scaling"
_LOG = logging.getLogger(__name__)


class _Sweep(NamedTuple):
    seen: Seen
    scores: Mapping[float, float]
    """By coefficient."""
    trial_s: float
    """Between the ends of trials, processes started."""
    work_s: float
    """Of one trial from its start to its end, as its row says."""


def sweep_throughput(
    trials: int = 50, peer_trials: int = 6, images: int = 8, models: ModelFiles | None = None
) -> Iterator[Row]:
    """Yield the seconds per trial of a whole sweep, start-up included, by way of each peer.

    A trial merges five ViT-S/14 of the tiny zoo by task arithmetic and evaluates the result on
    ``images`` select and as many report images of every task. So a trial is short: 14 billion
    multiply-adds, of which the individual models are asked for none, since their features are
    known. Every side has the same two cores and one thread per trial; the sweep's processes are
    those of ``jobs/sweep.py``, from the command to its leaderboard. Fewer trials of a peer are
    timed, since they do not know of each other.

    The same study is done with ``ray: false`` too: one process, one trial after the other, each on
    both cores.

    Peers: a Python process per trial, which reads the features of the individual models from the
    disk (the rows with a target) or has to compute them; a trial of Ray Tune with an actor for
    each individual model.

    Raises:
        AssertionError: a peer gives another score for the same configuration.
        CalledProcessError: a side fails.
    """
    with tempfile.TemporaryDirectory(prefix="dm-") as place:
        folder = Path(place)
        files = models or build_zoo("tiny", report=_LOG.info)
        environment = {
            "OMP_NUM_THREADS": "1",
            "DISTMERGE_CACHE": str(folder / "cache"),
            "RAY_TMPDIR": place,  # another cluster on this machine is not to be joined
        }
        few = _sweep(_study(files, folder / "few", FEW, images), environment)
        study = _study(files, folder / "many", trials, images)
        given = _inputs(study, folder / "cache" / "features")
        values = _values(trials)[:peer_trials]
        alone = _processes("alone", given, values, environment)
        ours = _sweep(study, environment)
        _same(ours.scores, alone)
        alone_s = alone.wall_s / len(values)
        whole = partial(
            Row,
            peer="a process per trial",
            peer_s=alone_s,
            target=10.0,
            peer_peak_bytes=alone.peak_bytes,
        )
        yield whole(
            f"sweep of {trials} trials, per trial",
            ours.seen.wall_s / trials,
            ours_peak_bytes=ours.seen.peak_bytes,
            note=_note(ours, few, alone, len(values)),
        )
        yield Row(
            "sweep, per trial once started",
            ours.trial_s,
            peer="a process per trial",
            peer_s=alone_s,
            note=f"{ours.work_s:.3f} s of work per trial, {CORES} at a time",
        )
        here = _sweep(
            _study(files, folder / "here", trials, images, ray=False),
            {**environment, "OMP_NUM_THREADS": str(CORES)},
        )
        _agree(ours.scores, here.scores)
        yield whole(
            f"sweep of {trials} trials without Ray, per trial",
            here.seen.wall_s / trials,
            ours_peak_bytes=here.seen.peak_bytes,
            note=f"{here.work_s:.3f} s of work per trial, one at a time",
        )
        unknown = _inputs(study, folder / "none")
        computing = _processes("alone", unknown, values[:1], environment)
        yield Row(
            "sweep, features computed",
            ours.seen.wall_s / trials,
            peer="a process per trial",
            peer_s=computing.wall_s / CORES,
            note="the first process computes the features that the score needs",
        )
        gang = watched([_command("gang", given, values[:CORES])], 1, environment)
        _same(ours.scores, gang)
        yield Row(
            "sweep, actors per trial",
            ours.seen.wall_s / trials,
            peer="ray.tune, a gang per trial",
            peer_s=gang.wall_s / CORES,
            peer_peak_bytes=gang.peak_bytes,
            note=f"{gang.cpu_s / CORES:.1f} s of the processor per trial",
        )


def _study(files: ModelFiles, folder: Path, trials: int, images: int, *, ray: bool = True) -> Path:
    pipeline = {
        "stages": ["task_arithmetic"],
        "trials": trials,
        "settings": {_SCALING: {"choice": _values(trials)}},
    }
    study = {
        "study": "throughput",
        "models": files.model_dump(mode="json"),
        "images": {"adapt": images, "select": images, "report": images},
        "pipelines": [pipeline],
        "sampler": "grid",
        "sanity": "off",
        "storage": str(folder),
        "ray": {} if ray else False,
    }
    path = folder.with_suffix(".yaml")
    path.write_text(json.dumps(study))  # JSON is YAML
    return path


def _values(trials: int) -> Sequence[float]:
    return [round(0.05 + 0.01 * number, 2) for number in range(trials)]


def _sweep(path: Path, environment: dict[str, str]) -> _Sweep:
    study = load_study(path, (), HYPERS)
    seen = watched([[sys.executable, str(ROOT / "jobs" / "sweep.py"), str(path)]], 1, environment)
    rows = RunStore(study.storage, HYPERS).finished(study.study)
    scores = rows[rows["metric"].str.startswith("score:") & rows[_SCALING].notna()]
    ends = scores["started_at"] + pd.to_timedelta(scores["wall_s"], unit="s")
    spaces = ends.sort_values().diff().dt.total_seconds()
    by_value = dict(zip(scores[_SCALING], scores["value"], strict=True))
    return _Sweep(seen, by_value, float(spaces.mean()), float(scores["wall_s"].median()))


def _inputs(path: Path, features: Path) -> Path:
    prepared = prepare(load_study(path, (), HYPERS), _LOG.info)
    source = prepared.source
    given = features.with_suffix(".pickle")
    given.write_bytes(pickle.dumps(Inputs(prepared.study, source, prepared.digests, features)))
    return given


def _processes(
    kind: str, inputs: Path, values: Sequence[float], environment: dict[str, str]
) -> Seen:
    return watched([_command(kind, inputs, [value]) for value in values], CORES, environment)


def _command(kind: str, inputs: Path, values: Sequence[float]) -> list[str]:
    texts = [str(value) for value in values]
    return [sys.executable, "-m", "benchmarks.trial_peers", kind, str(inputs), *texts]


def _same(ours: Mapping[float, float], peer: Seen) -> None:
    for said in peer.said:
        scores = json.loads(said.splitlines()[-1])
        _agree(ours, {float(value): score for value, score in scores.items()})


def _agree(ours: Mapping[float, float], theirs: Mapping[float, float]) -> None:
    for value, score in theirs.items():
        assert abs(ours[value] - score) < 1e-6, (value, ours[value], score)


def _note(ours: _Sweep, few: _Sweep, alone: Seen, peers: int) -> str:
    cpu, peer = ours.seen.cpu_s / len(ours.scores), alone.cpu_s / peers
    return (
        f"of the processor {cpu:.2f} s against {peer:.2f} s, {peer / cpu:.1f} times; "
        f"memory of the node {few.seen.peak_bytes / 1e9:.2f} GB with {len(few.scores)} trials, "
        f"{ours.seen.peak_bytes / 1e9:.2f} GB with {len(ours.scores)}"
    )
