import io
from dataclasses import replace

import pytest
from rich.console import Console

from distmerge.coordinator import Progress
from distmerge.methods import HYPERS
from distmerge.spec import Pipeline, run_config
from distmerge.sweep.progress.board import Board, Ended
from distmerge.sweep.progress.steps import Standing
from distmerge.sweep.search.search import Suggestion

GOOD = Ended(score=0.75, accuracy=0.5, wall_s=2.0, error=None)
BAD = Ended(score=None, accuracy=None, wall_s=1.0, error="DivergenceError: nan\nmore")


def suggestion(run_id: str = "r", **settings: object) -> Suggestion:
    named = {f"task_arithmetic.{key}": value for key, value in settings.items()}
    config = run_config(Pipeline(stages=("task_arithmetic",), settings=named), {}, 0, HYPERS)
    return Suggestion(0, 0, config, run_id)


def shown(*, terminal: bool, ended: Ended) -> str:
    output = io.StringIO()
    with Board(Console(file=output, force_terminal=terminal, width=120), total=2) as board:
        board.started(suggestion("one", scaling=0.25))
        board.ended(suggestion("one", scaling=0.25), ended)
        board.started(suggestion("two"))
    return output.getvalue()


def test_a_run_that_ended_is_one_plain_line_where_there_is_no_terminal() -> None:
    lines = shown(terminal=False, ended=GOOD).splitlines()
    assert len(lines) == 1
    for text in ("1/2", "task_arithmetic", "0.7500", "50.0 %", "scaling=0.25", "ETA"):
        assert text in lines[0]


def test_a_terminal_shows_the_runs_in_progress() -> None:
    output = shown(terminal=True, ended=GOOD)
    assert "1 of 2 runs done" in output
    assert "defaults" in output


def test_what_looks_like_a_collapse_stands_in_the_line_of_the_run() -> None:
    suspect = GOOD._replace(suspicion="textures: 2 of 31 classes")
    (line,) = shown(terminal=False, ended=suspect).splitlines()
    assert line.endswith("collapse? textures: 2 of 31 classes")
    assert "collapse" not in shown(terminal=False, ended=GOOD)


def test_a_failed_run_says_so_in_one_line() -> None:
    (line,) = shown(terminal=False, ended=BAD).splitlines()
    assert "failed after 1.0 s: DivergenceError: nan" in line
    assert "more" not in line


def test_a_run_that_ended_early_says_where_and_is_no_failure() -> None:
    early = Ended(None, None, 2.0, None, rungs=((4, 0.5), (8, 0.25)))
    (line,) = shown(terminal=False, ended=early).splitlines()
    assert "ended early at step 8, agreement 0.2500" in line
    board = Board(Console(file=io.StringIO()), total=1)
    board.ended(suggestion("one"), early)
    assert board.failed == 0


def test_a_repeat_shows_its_seed() -> None:
    output = io.StringIO()
    first = suggestion("one", scaling=0.25)
    repeat = first._replace(number=None, config=replace(first.config, seed=7))
    with Board(Console(file=output, width=120), total=1) as board:
        board.ended(repeat, GOOD)
    assert "seed=7 scaling=0.25" in output.getvalue()


def test_the_board_counts_failures_and_estimates_the_rest() -> None:
    board = Board(Console(file=io.StringIO()), total=3)
    assert board.eta_s() is None
    board.ended(suggestion("one"), GOOD)
    board.ended(suggestion("two"), BAD)
    assert board.failed == 1
    assert board.eta_s() == pytest.approx(0.0, abs=5.0)


def test_a_terminal_shows_the_steps_of_the_only_run() -> None:
    output = io.StringIO()
    with Board(Console(file=output, force_terminal=True, width=120), total=1) as board:
        board.started(suggestion("one"))
        board.stepped(Progress("coefficients", 20, 40, 0.5))
    assert "coefficients: step 20/40" in output.getvalue()


def test_a_terminal_shows_where_each_of_several_runs_stands() -> None:
    output = io.StringIO()
    with Board(Console(file=output, force_terminal=True, width=120), total=3) as board:
        board.started(suggestion("one"))
        board.started(suggestion("two"))
        board.told({"two": Standing("router", 7, 9, 0.5), "over": Standing("router", 1, 9)})
        board.refresh()
    assert "router: step 7/9" in output.getvalue()
    assert [run.standing for run in board.in_progress] == [None, Standing("router", 7, 9, 0.5)]
    assert board.waiting == 1


def test_the_score_of_the_last_check_stays_until_the_next() -> None:
    board = Board(Console(file=io.StringIO()), total=1)
    board.started(suggestion("one"))
    board.stepped(Progress("coefficients", 1, 3, 0.5, score=0.75))
    board.stepped(Progress("coefficients", 2, 3, 0.5))
    assert [run.standing for run in board.in_progress] == [Standing("coefficients", 2, 3, 0.75)]


def test_the_time_before_the_first_run_is_not_taken_for_that_of_runs() -> None:
    board = Board(Console(file=io.StringIO()), total=2)
    board._start -= 1000  # features took long
    assert not board.has_begun
    board.started(suggestion("one"))
    assert board.has_begun
    board.ended(suggestion("one"), GOOD)
    assert board.eta_s() == pytest.approx(0.0, abs=5.0)


def test_the_end_is_not_before_that_of_a_run_in_progress() -> None:
    board = Board(Console(file=io.StringIO()), total=2)
    board.ended(suggestion("one"), GOOD)
    board.started(suggestion("two"))
    board.told({"two": Standing("router", 9, 9)})
    board.told({"two": Standing("coefficients", 100, 500)})
    run = board._running["two"]
    board._running["two"] = run._replace(first_at=run.first_at - 10)
    board.told({"two": Standing("coefficients", 200, 500)})
    assert board.eta_s() == pytest.approx(30.0, abs=5.0)
