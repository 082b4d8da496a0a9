"""What the samplers suggest: grids, choices of a method, several objectives, warm starts."""

import math
from typing import Any

import pytest

from distmerge.errors import ConfigError
from distmerge.spec import Pipeline
from distmerge.sweep.search.history import PastRun
from distmerge.sweep.search.search import Suggestion
from tests.sweep.asked import (
    asked,
    asked_together,
    interrupted,
    learning,
    past,
    rate_score,
    search,
    study,
)

GRID = {"lr": {"log_uniform": [1e-3, 1e-1], "points": 3}, "init": {"choice": [0.2, 0.3]}}
GROUP = {"any_of": [["task_arithmetic"], ["adamerging"], ["adamerging", "surgery"]], "trials": 40}
SAMPLERS: list[dict[str, Any]] = [
    {"sampler": "tpe"},
    {"sampler": "random"},
    {"sampler": "nsga2", "objectives": ["score", "cost"]},
    {"sampler": "tpe", "objectives": ["score", "cost"]},
]


def points(suggestions: list[Suggestion]) -> list[tuple[object, object]]:
    values = [s.config.values() for s in suggestions]
    return [(v["adamerging.init"], v["adamerging.lr"]) for v in values]


def cost(suggestion: Suggestion) -> float:
    return float(suggestion.config.values().get("adamerging.init", 0.1))


def test_a_grid_runs_every_point_in_a_fixed_order() -> None:
    found = points(asked(search(study(learning(1, **GRID), sampler="grid"))))
    assert sorted(found) == [(i, r) for i in (0.2, 0.3) for r in (0.001, 0.01, 0.1)]
    assert found == points(asked(search(study(learning(1, **GRID), sampler="grid", seed=7))))


def test_a_grid_goes_on_where_it_stopped() -> None:
    grid = study(learning(1, **GRID), sampler="grid")
    whole = asked(search(grid))
    before = asked(search(grid), most=4)
    later = asked(search(grid, past(before)))
    assert points(before) + points(later) == points(whole)


def test_a_range_without_points_is_no_grid() -> None:
    with pytest.raises(ConfigError, match=r"adamerging.init: 0.1 to 0.4, is no finite set.*points"):
        search(study(learning(1, lr=0.01), sampler="grid"))


@pytest.mark.parametrize("fields", SAMPLERS, ids=str)
@pytest.mark.parametrize("entry", [learning(24), {**GROUP, "trials": 24}], ids=["one", "group"])
def test_a_search_that_was_interrupted_goes_on_as_if_it_had_not_been(
    fields: dict[str, Any], entry: object
) -> None:
    whole = asked(search(study(entry, **fields)), cost=cost)
    before = asked(search(study(entry, **fields)), cost=cost, most=15)
    remembered = past(before, cost=cost)
    later = asked(search(study(entry, **fields), remembered), cost=cost)
    assert [s.run_id for s in before + later] == [s.run_id for s in whole]
    assert len(whole) == 24


def test_a_long_search_remembers_what_matters_and_goes_on_as_if_never_interrupted() -> None:
    whole = asked(search(study(learning(230))))
    later = asked(search(study(learning(230)), past(whole[:215])))
    assert [s.run_id for s in later] == [s.run_id for s in whole[215:]]
    assert sum(map(rate_score, whole[-20:])) / 20 > -0.1


def test_a_group_tries_every_method_by_its_defaults_then_favours_the_better_one() -> None:
    found = asked(search(study(GROUP)))
    names = [s.config.name for s in found]
    assert names[:3] == ["task_arithmetic", "adamerging", "adamerging+surgery"]
    assert len(found) == 40
    assert sum(name != "task_arithmetic" for name in names[20:]) > 15


def test_a_run_of_a_group_has_the_hyperparameters_of_its_method_alone() -> None:
    for suggestion in asked(search(study(GROUP)), most=12):
        stages = suggestion.config.name.split("+")
        assert {key.split(".")[0] for key in suggestion.config.values()} == set(stages)


def test_settings_of_a_group_reach_every_method_that_has_them() -> None:
    group = {**GROUP, "settings": {"adamerging.lr": 0.004, "surgery.rank": 8}}
    found = [s.config.values() for s in asked(search(study(group)), most=12)]
    assert {v["adamerging.lr"] for v in found if "adamerging.lr" in v} == {0.004}
    assert {v["surgery.rank"] for v in found if "surgery.rank" in v} == {8}


def test_the_best_of_a_group_is_repeated_with_the_other_seeds() -> None:
    found = asked(search(study({**GROUP, "trials": 6}, repeats=3)))
    best = max(found[:6], key=rate_score)
    assert [s.config.seed for s in found[6:]] == [1, 2]
    assert {s.config.name for s in found[6:]} == {best.config.name}


def test_tpe_learns_where_the_best_rates_are() -> None:
    found = asked(search(study(learning(40))))
    early, late = ([rate_score(s) for s in part] for part in (found[1:11], found[-10:]))
    assert sum(late) / 10 > sum(early) / 10


def test_nsga2_spreads_over_what_score_and_cost_trade() -> None:
    fields: dict[str, Any] = {"sampler": "nsga2", "objectives": ["score", "cost"]}
    found = asked(search(study(learning(60), **fields)), score=cost, cost=cost)
    late = [cost(s) for s in found[-20:]]
    assert max(late) - min(late) > 0.1


def test_earlier_studies_inform_the_search_and_count_as_none_of_its_trials() -> None:
    earlier = past(asked(search(study(learning(30)))), warm=True)
    warm = search(study(learning(5), seed=3), earlier)
    assert (warm.warm, warm.remaining) == (30, 5)
    cold = asked(search(study(learning(5), seed=3)))
    assert [s.run_id for s in asked(warm)][1:] != [s.run_id for s in cold][1:]


def test_earlier_runs_outside_todays_ranges_are_left_out() -> None:
    earlier = past(asked(search(study(learning(10)))), warm=True)
    rates = sorted(float(run.config.values()["adamerging.lr"]) for run in earlier)
    narrow = learning(5, lr={"log_uniform": [rates[0] / 2, rates[3]]})
    assert search(study(narrow), earlier).warm == 4


def test_runs_at_the_same_time_differ_and_nobody_waits_for_the_slowest() -> None:
    searching = search(study(learning(40)))
    slow, *_ = (searching.ask() for _ in range(4))
    assert slow is not None
    found = asked(searching)
    assert len({s.run_id for s in found} | {slow.run_id}) == 37
    assert searching.remaining == 0


def test_a_finite_space_that_a_sampler_does_not_exhaust_still_gets_its_trials() -> None:
    values = [0.001 * i for i in range(1, 21)]
    pipeline = learning(18, lr={"choice": values}, init=0.3)
    found = asked(search(study(pipeline)))
    assert len({s.run_id for s in found}) == len(found) == 18


def test_a_run_that_ended_early_counts_as_done_and_is_no_best_one() -> None:
    fields: dict[str, Any] = {"asha": {"first": 5}, "repeats": 2}
    before = asked(search(study(learning(3), **fields)), most=3)
    early = [PastRun(s.run_id, s.config, None, 0.0, {5: 99.0}, warm=False) for s in before[:2]]
    (done,) = past(before[2:])
    later = search(study(learning(3), **fields), (*early, done))
    (repeat,) = asked(later)
    assert repeat.config.values() == before[2].config.values()
    assert repeat.config.seed == 1


def test_what_draws_nothing_has_one_run() -> None:
    averaging = Pipeline(stages=("weight_averaging",), trials=5)
    assert len(asked(search(study(averaging, sampler="grid")))) == 1


GRID_OF_TWENTY = learning(1, lr={"log_uniform": [1e-3, 1e-1], "points": 20}, init=0.3)
TOGETHER = [*((learning(24), fields) for fields in SAMPLERS), (GRID_OF_TWENTY, {"sampler": "grid"})]


@pytest.mark.parametrize(("entry", "fields"), TOGETHER, ids=str)
def test_runs_that_were_interrupted_together_are_all_asked_for_again_first(
    entry: Pipeline, fields: dict[str, Any]
) -> None:
    before = asked_together(search(study(entry, **fields)), 8, most=7)
    remembered = (*past(before.ended), *interrupted(before.running))
    later = search(study(entry, **fields), remembered)
    assert later.remaining == search(study(entry, **fields)).remaining - 7
    again = asked_together(later, 8, most=0)
    assert [s.run_id for s in again.running] == [s.run_id for s in before.running]


@pytest.mark.parametrize(
    ("entry", "fields"), [case for case in TOGETHER if case[1]["sampler"] != "nsga2"], ids=str
)
def test_runs_at_the_same_time_are_those_of_an_undisturbed_search_after_a_kill(
    entry: Pipeline, fields: dict[str, Any]
) -> None:
    whole = asked_together(search(study(entry, **fields)), 8)
    before = asked_together(search(study(entry, **fields)), 8, most=7)
    remembered = (*past(before.ended), *interrupted(before.running))
    later = asked_together(search(study(entry, **fields), remembered), 8)
    ended = [s.run_id for s in before.ended + later.ended]
    assert ended == [s.run_id for s in whole.ended]


def test_an_interrupted_run_that_todays_search_would_not_suggest_is_left_alone() -> None:
    running = asked_together(search(study(learning(4))), 4, most=0).running
    rates = sorted(float(s.config.values()["adamerging.lr"]) for s in running)
    narrow = learning(4, lr={"log_uniform": [rates[0] / 2, rates[2]]})
    again = asked_together(search(study(narrow), interrupted(running)), 4, most=0).running
    known = {s.run_id for s in running}
    assert [s.run_id in known for s in again] == [True, True, True, False]
    fixed = learning(4, steps=7)
    others = asked_together(search(study(fixed), interrupted(running)), 4, most=0).running
    assert known.isdisjoint(s.run_id for s in others)


def test_interrupted_runs_of_every_pipeline_come_before_new_ones_of_any() -> None:
    pipelines = learning(3), Pipeline(stages=("adamerging", "surgery"), trials=6)
    before = asked_together(search(study(*pipelines)), 5, most=2)
    later = search(study(*pipelines), (*past(before.ended), *interrupted(before.running)))
    again = asked_together(later, 5, most=0).running
    assert {s.run_id for s in again} == {s.run_id for s in before.running}


def test_an_interrupted_repeat_is_asked_for_in_its_turn() -> None:
    whole = asked(search(study(learning(3), repeats=3)))
    remembered = (*past(whole[:2]), *interrupted(whole[2:4]))
    later = asked(search(study(learning(3), repeats=3), remembered))
    assert [s.run_id for s in later] == [s.run_id for s in whole[2:]]


def standing_still(suggestion: Suggestion) -> float:
    """Give a score that is the higher the fewer settings a method has."""
    return -float(len(suggestion.config.values()))


@pytest.mark.parametrize("fields", SAMPLERS, ids=str)
@pytest.mark.parametrize("others", [[["adamerging"]], GROUP["any_of"]], ids=["one", "three"])
def test_a_best_method_that_is_used_up_ends_no_search(
    fields: dict[str, Any], others: list[list[str]]
) -> None:
    group = {"any_of": [["weight_averaging"], *others], "trials": 40}
    searching = search(study(group, **fields))
    found = asked(searching, score=standing_still)
    assert len({s.run_id for s in found}) == len(found) == 40
    assert list(searching.gaps()) == []


def test_trials_that_find_nothing_new_are_counted_and_keep_nothing_else_from_its_run() -> None:
    ends = [0.01, math.nextafter(0.01, 1)]
    narrow = learning(9, lr={"uniform": ends}, init=0.3)
    other = Pipeline(stages=("adamerging", "surgery"), trials=2)
    searching = search(study(narrow, other, repeats=2))
    found = asked(searching)
    assert searching.remaining == 0
    named = [s.config.seed for s in found if s.pipeline == 0]
    made = named.count(0)
    assert made < 9
    assert named == [0] * made + [1]
    assert [s.config.seed for s in found if s.pipeline == 1] == [0, 0, 1]
    (gap,) = searching.gaps()
    assert gap.startswith(f"adamerging: {9 - made} trials were not made: ")


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_looks_of_earlier_runs_are_no_obstacle_to_a_second_objective(sampler: str) -> None:
    before = past(asked(search(study(learning(3)))))
    looked = tuple(run._replace(rungs={5: 0.3, 10: 0.4}) for run in before)
    fields: dict[str, Any] = {"sampler": sampler, "objectives": ["score", "cost"]}
    assert len(asked(search(study(learning(6), **fields), looked))) == 3
