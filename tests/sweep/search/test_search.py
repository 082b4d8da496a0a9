import pytest

from distmerge.methods import HYPERS
from distmerge.spec import Pipeline, RunConfig, Study, digest
from distmerge.sweep.search.history import PastRun
from distmerge.sweep.search.search import Search, Suggestion

NOTHING: tuple[PastRun, ...] = ()


def identify(config: RunConfig) -> str:
    return digest([config.name, sorted(config.values().items()), config.seed])


def study(*pipelines: Pipeline, **fields: object) -> Study:
    content = {"study": "s", "models": {"zoo": "tiny"}, "pipelines": pipelines}
    return Study.model_validate({**content, **fields})


def arithmetic(trials: int, **settings: object) -> Pipeline:
    named = {f"task_arithmetic.{key}": value for key, value in settings.items()}
    return Pipeline(stages=("task_arithmetic",), trials=trials, settings=named)


def asked(search: Search, score: float | None = 0.5) -> list[Suggestion]:
    found = []
    while (suggestion := search.ask()) is not None:
        search.tell(suggestion, score)
        found.append(suggestion)
    return found


def past(suggestions: list[Suggestion], score: float = 0.5) -> list[PastRun]:
    return [PastRun(s.run_id, s.config, score, 0.0, {}, warm=False) for s in suggestions]


def scaling(suggestion: Suggestion) -> object:
    return suggestion.config.values()["task_arithmetic.scaling"]


def test_a_pipeline_gets_its_trials_and_the_defaults_come_first() -> None:
    found = asked(Search(study(arithmetic(4)), HYPERS, identify, NOTHING))
    assert scaling(found[0]) == 0.3
    assert len({scaling(s) for s in found}) == 4
    assert all(0.05 <= float(str(scaling(s))) <= 0.6 for s in found)


def test_a_pipeline_with_nothing_to_search_is_run_once() -> None:
    averaging = Pipeline(stages=("weight_averaging",), trials=5)
    assert len(asked(Search(study(averaging), HYPERS, identify, NOTHING))) == 1


def test_pipelines_take_turns() -> None:
    averaging = Pipeline(stages=("weight_averaging",))
    found = asked(Search(study(averaging, arithmetic(3)), HYPERS, identify, NOTHING))
    assert [s.pipeline for s in found] == [0, 1, 1, 1]


def test_a_seed_gives_the_same_suggestions_again() -> None:
    first, again, other = (
        [
            s.run_id
            for s in asked(Search(study(arithmetic(6), seed=seed), HYPERS, identify, NOTHING))
        ]
        for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_fixed_setting_is_never_varied(sampler: str) -> None:
    pipeline = Pipeline(
        stages=("task_arithmetic", "surgery"),
        trials=5,
        settings={"surgery.rank": 8, "task_arithmetic.scaling": {"uniform": [0.2, 0.25]}},
    )
    found = asked(Search(study(pipeline, sampler=sampler), HYPERS, identify, NOTHING))
    assert {s.config.values()["surgery.rank"] for s in found} == {8}
    assert all(0.2 <= float(str(scaling(s))) <= 0.25 for s in found)


def test_a_finite_space_is_not_run_twice_over() -> None:
    found = asked(
        Search(study(arithmetic(9, scaling={"choice": [0.1, 0.3]})), HYPERS, identify, NOTHING)
    )
    assert {scaling(s) for s in found} == {0.1, 0.3}
    assert len(found) == 2


def test_finished_runs_count_and_the_rest_is_asked_for() -> None:
    before = asked(Search(study(arithmetic(3)), HYPERS, identify, NOTHING))
    search = Search(study(arithmetic(5)), HYPERS, identify, past(before))
    assert search.remaining == 2
    later = asked(search)
    assert {s.run_id for s in later}.isdisjoint(s.run_id for s in before)


def test_a_finished_study_asks_for_nothing() -> None:
    before = asked(Search(study(arithmetic(3)), HYPERS, identify, NOTHING))
    search = Search(study(arithmetic(3)), HYPERS, identify, past(before))
    assert search.remaining == 0
    assert search.ask() is None


def test_a_failed_run_spends_its_trial_and_is_run_again_by_the_next_sweep() -> None:
    failed = asked(Search(study(arithmetic(2)), HYPERS, identify, NOTHING), score=None)
    assert len(failed) == 2
    assert Search(study(arithmetic(2)), HYPERS, identify, NOTHING).remaining == 2


def test_a_random_search_that_goes_on_does_not_repeat_itself() -> None:
    before = asked(Search(study(arithmetic(25), sampler="random"), HYPERS, identify, NOTHING))
    more = Search(study(arithmetic(40), sampler="random"), HYPERS, identify, past(before))
    later = asked(more)
    assert len(before) == 25
    assert len(later) == 15
    assert {s.run_id for s in later}.isdisjoint(s.run_id for s in before)


def test_a_finite_space_is_used_up_whatever_the_sampler_likes() -> None:
    values = [0.1 * i for i in range(1, 12)]
    pipeline = arithmetic(50, scaling={"choice": values})
    search = Search(study(pipeline), HYPERS, identify, NOTHING)
    assert search.remaining == 11
    found = asked(search)
    assert sorted(float(str(scaling(s))) for s in found) == pytest.approx(values)
    assert Search(study(pipeline), HYPERS, identify, past(found)).remaining == 0


def test_numbers_that_yaml_reads_as_text_are_known_again() -> None:
    pipeline = Pipeline(
        stages=("adamerging",), trials=2, settings={"adamerging.lr": {"choice": ["1e-3", "1e-2"]}}
    )
    found = asked(Search(study(pipeline), HYPERS, identify, NOTHING))
    assert {s.config.values()["adamerging.lr"] for s in found} == {1e-3, 1e-2}
    assert Search(study(pipeline), HYPERS, identify, past(found)).remaining == 0


def learning(trials: int) -> Pipeline:
    """A pipeline whose result depends on the seed."""
    rates = {"log_uniform": [1e-3, 1e-1]}
    return Pipeline(stages=("adamerging",), trials=trials, settings={"adamerging.lr": rates})


def rate(suggestion: Suggestion) -> float:
    return float(str(suggestion.config.values()["adamerging.lr"]))


def asked_by_rate(search: Search) -> list[Suggestion]:
    """Give all suggestions where a higher rate is better."""
    found = []
    while (suggestion := search.ask()) is not None:
        search.tell(suggestion, rate(suggestion))
        found.append(suggestion)
    return found


def scored_by_rate(suggestions: list[Suggestion]) -> list[PastRun]:
    return [past([s], score=rate(s))[0] for s in suggestions]


def test_the_best_configuration_is_asked_for_again_with_the_other_seeds() -> None:
    search = Search(study(learning(3), seed=5, repeats=3), HYPERS, identify, NOTHING)
    assert search.remaining == 3 + 2
    found = asked_by_rate(search)
    assert [s.config.seed for s in found] == [5, 5, 5, 6, 7]
    best = max(map(rate, found[:3]))
    assert [rate(s) for s in found[3:]] == [best, best]
    assert [s.number for s in found[3:]] == [None, None]
    assert search.remaining == 0


def test_of_equal_scores_the_smaller_run_id_is_repeated_as_the_leaderboard_shows() -> None:
    found = asked(Search(study(learning(4), repeats=2), HYPERS, identify, NOTHING))
    chosen = min(found[:4], key=lambda s: s.run_id)
    assert found[4].config.values() == chosen.config.values()


def test_a_pipeline_that_draws_nothing_is_not_repeated() -> None:
    search = Search(study(arithmetic(2), repeats=3), HYPERS, identify, NOTHING)
    assert search.remaining == 2
    assert len(asked(search)) == 2


def test_repeats_wait_for_every_trial_of_their_pipeline_and_for_no_other() -> None:
    pipelines = learning(1), arithmetic(3)
    search = Search(study(*pipelines, repeats=2), HYPERS, identify, NOTHING)
    first, second, third = search.ask(), search.ask(), search.ask()
    assert first is not None
    assert [s.pipeline for s in (first, second, third) if s] == [0, 1, 1]
    search.tell(first, 0.5)
    repeat, last = search.ask(), search.ask()
    assert repeat is not None
    assert (repeat.pipeline, repeat.config.seed) == (0, 1)
    assert last is not None
    assert (last.pipeline, search.ask(), search.remaining) == (1, None, 0)


def test_there_is_no_run_to_give_while_the_last_trial_is_in_progress() -> None:
    search = Search(study(learning(1), repeats=2), HYPERS, identify, NOTHING)
    trial = search.ask()
    assert trial is not None
    assert (search.ask(), search.remaining) == (None, 1)
    search.tell(trial, 0.5)
    repeat = search.ask()
    assert repeat is not None
    assert repeat.config.seed == 1


def test_a_pipeline_of_failed_trials_has_no_best_one_to_repeat() -> None:
    search = Search(study(learning(2), repeats=3), HYPERS, identify, NOTHING)
    assert len(asked(search, score=None)) == 2
    assert search.remaining == 0


def test_finished_repeats_are_not_asked_for_again() -> None:
    before = asked_by_rate(Search(study(learning(2), repeats=3), HYPERS, identify, NOTHING))
    assert len(before) == 4
    again = Search(study(learning(2), repeats=3), HYPERS, identify, scored_by_rate(before))
    assert again.remaining == 0
    assert again.ask() is None


def test_a_repeat_that_failed_is_asked_for_by_the_next_sweep() -> None:
    before = asked_by_rate(Search(study(learning(2), repeats=3), HYPERS, identify, NOTHING))
    known = scored_by_rate(before[:3])
    (again,) = asked_by_rate(Search(study(learning(2), repeats=3), HYPERS, identify, known))
    assert again.run_id == before[3].run_id


def test_a_new_best_configuration_is_repeated_in_its_turn() -> None:
    before = asked_by_rate(Search(study(learning(1), repeats=2), HYPERS, identify, NOTHING))
    known = scored_by_rate(before)
    later = asked_by_rate(Search(study(learning(6), repeats=2), HYPERS, identify, known))
    assert [s.config.seed for s in later] == [0] * 5 + [1]
    best = max(rate(s) for s in (*before, *later))
    assert rate(later[-1]) == best > rate(before[0])


def test_a_best_run_of_other_settings_is_repeated_as_the_leaderboard_shows_it() -> None:
    before = asked_by_rate(Search(study(learning(3), repeats=1), HYPERS, identify, NOTHING))
    low = Pipeline(stages=("adamerging",), settings={"adamerging.lr": 1e-4})
    known = scored_by_rate(before)
    later = asked_by_rate(Search(study(low, repeats=2), HYPERS, identify, known))
    assert [s.config.seed for s in later] == [0, 1]
    assert rate(later[1]) == max(map(rate, before))


def test_a_repeats_score_is_no_trial_of_the_search() -> None:
    before = asked(Search(study(learning(2), repeats=2), HYPERS, identify, NOTHING))
    known = [
        run._replace(score=score) for run, score in zip(past(before), (0.1, 0.2, 0.9), strict=True)
    ]
    later = asked(Search(study(learning(3), repeats=1), HYPERS, identify, known), score=0.0)
    assert len(later) == 1
