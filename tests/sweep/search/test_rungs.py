from typing import Any

import pytest

from distmerge.coordinator import Progress
from distmerge.errors import PrunedError
from distmerge.sweep.search.history import PastRun
from distmerge.sweep.search.rungs import Looks, Rungs, Seen, rung_metrics
from tests.sweep.asked import asked, learning, search, study

FIELDS: dict[str, Any] = {"asha": {"first": 4, "reduction": 2}}


def rungs(past: tuple[PastRun, ...] = ()) -> Rungs:
    return Rungs(study(learning(4), **FIELDS), past)


def test_a_run_goes_on_while_it_is_among_the_best_of_those_that_arrived() -> None:
    halving = rungs()
    scores = [0.5, 0.4, 0.6, 0.55, 0.1]
    stays = [halving.stays("adamerging", f"run{i}", 4, score) for i, score in enumerate(scores)]
    assert stays == [True, False, True, True, False]


def test_rungs_are_told_apart() -> None:
    halving = rungs()
    assert halving.stays("adamerging", "a", 4, 0.9)
    assert halving.stays("adamerging", "b", 8, 0.1)


def test_a_run_that_asks_again_hears_the_same() -> None:
    halving = rungs()
    assert halving.stays("adamerging", "a", 4, 0.9)
    assert not halving.stays("adamerging", "b", 4, 0.1)
    assert not halving.stays("adamerging", "b", 4, 0.1)
    assert halving.stays("adamerging", "a", 4, 0.9)


def test_a_score_that_is_no_number_does_not_go_on() -> None:
    assert not rungs().stays("adamerging", "a", 4, float("nan"))


def test_runs_before_a_restart_still_count_and_repeats_and_earlier_studies_do_not() -> None:
    (found,) = asked(search(study(learning(1))))
    before = PastRun(found.run_id, found.config, None, 0.0, {4: 0.9}, warm=False)
    assert not rungs((before,)).stays("adamerging", "a", 4, 0.5)
    assert rungs((before._replace(warm=True),)).stays("adamerging", "a", 4, 0.5)


def progress(step: int, *, before: int = 0, steps: int = 20) -> Progress:
    return Progress("p", step, steps, 0.0, None, lambda: step / 100, before)


def test_a_run_takes_its_score_at_every_rung_and_nowhere_else() -> None:
    seen: list[Seen] = []
    shown: list[int] = []

    def stays(scores: Seen) -> bool:
        seen.append(scores)
        return True

    looks = Looks(
        study(learning(1), **FIELDS).asha,
        {},
        stays,
        lambda p: shown.append(p.step),
    )
    for step in range(1, 21):
        looks(progress(step))
    assert looks.seen == {4: 0.04, 8: 0.08, 16: 0.16}
    assert seen[-1] == looks.seen
    assert shown == list(range(1, 21))


def test_steps_count_over_all_of_a_runs_problems_and_its_last_step_is_no_rung() -> None:
    looks = Looks(study(learning(1), **FIELDS).asha, {}, lambda _: True, lambda _: None)
    looks(progress(4, steps=4))
    looks(progress(4, before=4))
    assert looks.seen == {8: 0.04}


def test_a_run_ends_where_it_is_told_to_with_what_it_saw() -> None:
    looks = Looks(study(learning(1), **FIELDS).asha, {4: 0.3}, lambda _: False, lambda _: None)
    with pytest.raises(PrunedError, match="ended early at step 8") as caught:
        looks(progress(8))
    assert caught.value.seen == {4: 0.3, 8: 0.08}
    assert [(m.metric, m.value) for m in rung_metrics(caught.value.seen)] == [
        ("rung:4", 0.3),
        ("rung:8", 0.08),
    ]


def test_without_halving_there_is_no_rung() -> None:
    looks = Looks(None, {}, lambda _: False, lambda _: None)
    looks(progress(4))
    assert looks.seen == {}


def test_a_rung_that_an_earlier_attempt_passed_is_not_asked_about_again() -> None:
    looks = Looks(study(learning(1), **FIELDS).asha, {4: 0.3}, lambda _: False, lambda _: None)
    looks(progress(4))
    assert looks.seen == {4: 0.3}
