"""Successive halving: at every rung, who goes on."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from distmerge.coordinator import Digests, Progress
from distmerge.errors import PrunedError
from distmerge.results import ADAPT, MEAN, Metric, RunStore
from distmerge.run import run_id
from distmerge.spec import Halving, Study
from distmerge.sweep.search.current import Identify
from distmerge.sweep.search.history import RUNG, PastRun, past_runs, stored_rows

Seen = Mapping[int, float]
"""A run's label-free scores at the rungs that it reached, by step."""


class Rungs:
    """The scores of all runs at every rung, search by search.

    A run goes on if its score is among the best 1 / ``reduction`` of those that arrived at the rung
    so far, itself included, or is the best of them.

    Source: Li et al., arXiv:1810.05934, algorithm 2; there a run is paused.
    """

    def __init__(self, study: Study, past: Iterable[PastRun] = ()) -> None:
        self.asha = study.asha
        self._search = {p.name: i for i, e in enumerate(study.pipelines) for p in e.alternatives}
        self._scores: dict[tuple[int, int], dict[str, float]] = {}
        for run in past:
            if not run.warm and run.config.seed == study.seed:
                self.note(run.config.name, run.run_id, run.rungs)

    def note(self, method: str, run_id: str, seen: Seen) -> None:
        """Take scores that a run had before."""
        for step, score in seen.items():
            self._scores.setdefault((self._search[method], step), {})[run_id] = score

    def stays(self, method: str, run_id: str, step: int, score: float) -> bool:
        """Take a run's score at a rung; give whether it goes on."""
        assert self.asha
        self.note(method, run_id, {step: score})
        arrived = sorted(self._scores[self._search[method], step].values(), reverse=True)
        return score >= arrived[max(1, len(arrived) // self.asha.reduction) - 1]


def rungs_reader(store: RunStore, study: Study, digests: Digests) -> Callable[[], Rungs] | None:
    """Give what reads where halving stands; None for a study without it.

    That follows from what is stored of the runs that ended and of those that were interrupted.
    """
    if study.asha is None:
        return None
    return partial(_stored_rungs, store, study, partial(run_id, study, digests))


def _stored_rungs(store: RunStore, study: Study, identify: Identify) -> Rungs:
    alone = study.model_copy(update={"warm_start": ()})
    return Rungs(study, past_runs(stored_rows(store, alone), alone, identify))


class Looks:
    """Watches one run: takes its score at every rung, and asks whether it goes on.

    Args:
        asha: where the rungs are; None: there are none.
        seen: the scores that an earlier attempt at the run had; it went on from each.
        stays: takes the scores up to now; gives whether the run goes on.
        observe: sees every step first.
    """

    def __init__(
        self,
        asha: Halving | None,
        seen: Seen,
        stays: Callable[[Seen], bool],
        observe: Callable[[Progress], None],
    ) -> None:
        self._asha, self._stays, self._observe = asha, stays, observe
        self.seen = dict(seen)

    def __call__(self, progress: Progress) -> None:
        """Take a step; the last one of an optimisation is no rung, since nothing is saved there.

        Raises:
            PrunedError: the run ends here.
        """
        self._observe(progress)
        step = progress.before + progress.step
        last = progress.step == progress.steps
        if last or self._asha is None or not self._asha.is_rung(step) or step in self.seen:
            return
        self.seen[step] = progress.check() if progress.score is None else progress.score
        seen = {s: score for s, score in self.seen.items() if s <= step}
        if not self._stays(seen):
            raise PrunedError(seen)


def rung_metrics(seen: Seen) -> tuple[Metric, ...]:
    """Give the rows of a run's scores at the rungs."""
    return tuple(Metric(ADAPT, MEAN, f"{RUNG}{step}", seen[step]) for step in sorted(seen))
