"""A run that is interrupted anywhere goes on from its checkpoint and ends with the same numbers."""

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from distmerge.coordinator import Checkpoint, Progress, optimise
from distmerge.coordinator.checkpoint import Part, Solved
from distmerge.errors import CheckpointError
from distmerge.methods import HYPERS
from distmerge.methods.adaptation import Checked
from distmerge.methods.contract import Problem
from distmerge.results import RunRecord
from distmerge.run import Session, run
from distmerge.spec import ModelFiles, Value
from tests.coordinator.sessions import config_of, ignored, session_of, tensors_of

CHECKS: dict[str, Value] = {"check_every": 2, "check_images": 8}
BEST: dict[str, Value] = {**CHECKS, "keep": "best", "patience": 3}
BATCH: dict[str, Value] = {"batch_size": 4, "lr": 0.01}
ROUTED: dict[str, Value] = {**BATCH, "head_steps": 3, "warm_up": 3, "steps": 7, "views": 1}


class Case(NamedTuple):
    """A pipeline, and after how many of its steps it is interrupted."""

    stages: str
    settings: dict[str, Value]
    steps: tuple[int, ...]


CASES = {
    "adamerging": Case("adamerging", {**BATCH, "steps": 8}, (1, 5)),
    "adamerging best": Case("adamerging", {**BATCH, **BEST, "steps": 8}, (2, 5, 6)),
    "adamerging projected": Case(
        "adamerging", {**BATCH, "steps": 8, "projection": "project"}, (5,)
    ),
    "adamerging_pp": Case("adamerging_pp", {**BATCH, **BEST, "steps": 8}, (5,)),
    "surgery": Case("task_arithmetic+surgery", {**BATCH, **BEST, "steps": 5}, (3, 5, 8, 14)),
    "tinting": Case("tinting", {**BEST, "batch_size": 4, "steps": 4}, (3,)),
    "tinting in turn": Case(
        "tinting", {**BEST, "batch_size": 4, "steps": 4, "schedule": "sequential"}, (1, 7)
    ),
    "bd_merging": Case("bd_merging", ROUTED, (2, 3, 5, 6, 9)),
    "bd_merging best": Case("bd_merging", {**ROUTED, **BEST, "train_head": "both"}, (5, 10)),
    "bd_merging without a router": Case("bd_merging", {**ROUTED, "router": "none"}, (2, 6)),
    "two stages": Case("adamerging+surgery", {**BATCH, **BEST, "steps": 5}, (4, 5, 7, 12)),
}
PLACES = [(name, step) for name, case in CASES.items() for step in case.steps]


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


class File:
    """One run's file, in memory."""

    content = b""
    writes = 0

    def write(self, content: bytes) -> None:
        self.content = content
        self.writes += 1


def interrupting(after: int) -> Callable[[Progress], None]:
    """Give an observer that behaves as a Ctrl-C after so many steps."""
    seen = 0

    def observe(_progress: Progress) -> None:
        nonlocal seen
        seen += 1
        if seen == after:
            raise KeyboardInterrupt

    return observe


Outcome = tuple[dict[str, Tensor], RunRecord]


def outcome(
    session: Session,
    case: Case,
    observe: Callable[[Progress], None] = ignored,
    checkpoint: Checkpoint | None = None,
) -> Outcome:
    """Give the tensors, metrics and steps of a run."""
    stages = case.stages.split("+")
    settings = {
        f"{stage}.{key}": value
        for stage in stages
        for key, value in case.settings.items()
        if key in HYPERS[stage].model_fields
    }
    model, record = run(session, config_of(settings, *stages), observe, checkpoint)
    return tensors_of(model), record


@pytest.fixture(scope="module")
def undisturbed(session: Session) -> dict[str, Outcome]:
    return {name: outcome(session, case) for name, case in CASES.items()}


@pytest.mark.parametrize(("name", "step"), PLACES, ids=[f"{n} at {s}" for n, s in PLACES])
def test_an_interrupted_run_goes_on_and_ends_with_the_same_numbers(
    name: str,
    step: int,
    session: Session,
    undisturbed: dict[str, Outcome],
) -> None:
    case, file, trace = CASES[name], File(), list[Progress]()
    with pytest.raises(KeyboardInterrupt):
        outcome(session, case, interrupting(step), Checkpoint(b"", file.write, 1e6))
    assert file.writes == 1
    goes_on = Checkpoint(file.content, file.write, 1e6)
    tensors, record = outcome(session, case, trace.append, goes_on)
    expected, whole = undisturbed[name]
    assert len(trace) == whole.step - step + 1  # the first one is of the step that was saved
    assert record.step == whole.step
    assert record.metrics == whole.metrics
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[key], expected[key]) for key in expected)


def test_every_method_that_learns_is_interrupted_here() -> None:
    interrupted = {stage for case in CASES.values() for stage in case.stages.split("+")}
    assert {name for name, hyper in HYPERS.items() if issubclass(hyper, Checked)} <= interrupted


def test_a_run_that_is_killed_at_any_moment_goes_on_from_its_last_save(
    session: Session,
    undisturbed: dict[str, Outcome],
) -> None:
    case, saved = CASES["two stages"], list[bytes]()
    outcome(session, case, checkpoint=Checkpoint(b"", saved.append, 0.0))
    expected, whole = undisturbed["two stages"]
    assert len(saved) == whole.step + 4  # after every step, and when one of four is solved
    for content in saved[::5]:
        tensors, record = outcome(session, case, checkpoint=Checkpoint(content, saved.append, 1e6))
        assert record.metrics == whole.metrics
        assert all(torch.equal(tensors[key], expected[key]) for key in expected)


def test_a_run_that_is_interrupted_twice_loses_no_step(
    session: Session, undisturbed: dict[str, Outcome]
) -> None:
    case, file, trace = CASES["surgery"], File(), list[Progress]()
    for steps in (4, 4):  # of which the second attempt's first is the first one's last
        with pytest.raises(KeyboardInterrupt):
            outcome(session, case, interrupting(steps), Checkpoint(file.content, file.write, 1e6))
    outcome(session, case, trace.append, Checkpoint(file.content, file.write, 1e6))
    assert len(trace) == undisturbed["surgery"][1].step - 7 + 1


def test_the_time_of_the_earlier_attempts_is_added(session: Session) -> None:
    case, file = CASES["adamerging"], File()
    with pytest.raises(KeyboardInterrupt):
        outcome(session, case, interrupting(3), Checkpoint(b"", file.write, 1e6))
    spent = Checkpoint(file.content, file.write, 1e6).wall_s
    assert spent > 0
    _, record = outcome(session, case, checkpoint=Checkpoint(file.content, file.write, 1e6))
    assert record.wall_s > spent


@pytest.mark.parametrize("every_s", [None, 1e6])
def test_an_undisturbed_run_saves_no_sooner_than_it_is_asked_to(
    every_s: float | None, session: Session
) -> None:
    file = File()
    outcome(session, CASES["adamerging"], checkpoint=Checkpoint(b"", file.write, every_s))
    assert file.writes == 0


def test_nothing_is_saved_where_none_is_wanted(session: Session) -> None:
    file = File()
    with pytest.raises(KeyboardInterrupt):
        outcome(session, CASES["adamerging"], interrupting(3), Checkpoint(b"", file.write, None))
    assert file.writes == 0


def test_a_run_that_fails_saves_nothing_on_its_way_out(session: Session) -> None:
    case = Case("adamerging", {"batch_size": 4, "lr": 1e30, "projection": "none"}, ())
    file = File()
    with pytest.raises(ArithmeticError, match="loss"):
        outcome(session, case, checkpoint=Checkpoint(b"", file.write, 1e6))
    assert file.writes == 0


def test_a_half_done_step_is_not_saved(session: Session) -> None:
    value, file = torch.tensor([1.0], dtype=torch.float64), File()

    def backward(step: int) -> float:
        value.grad = value.clone()
        return 0.0

    def project() -> None:
        if value.item() < 0.75:
            raise KeyboardInterrupt

    problem = Problem("p", (value,), 9, 0.1, backward, project=project)
    checkpoint = Checkpoint(b"", file.write, 0.0)
    with pytest.raises(KeyboardInterrupt), checkpoint:
        optimise(problem, ignored, checkpoint)
    assert value.item() == pytest.approx(0.7, abs=1e-2)
    assert file.writes == 2
    value.fill_(5)
    problem = Problem("p", (value,), 2, 0.1, backward)
    optimise(problem, ignored, Checkpoint(file.content, file.write, 0.0))
    assert value.item() == pytest.approx(0.8, abs=1e-2)


@pytest.mark.parametrize("missing", ["step", "checks.steps", "checks.scores", "parameter.0"])
def test_a_state_without_something_is_named_with_its_mend(missing: str) -> None:
    value, file = torch.tensor([1.0]), File()

    def backward(step: int) -> float:
        value.grad = value.clone()
        return 0.0

    problem = Problem("p", (value,), 3, 0.1, backward)
    with pytest.raises(KeyboardInterrupt), Checkpoint(b"", file.write, 1e6) as checkpoint:
        optimise(problem, interrupting(1), checkpoint)
    stored = Checkpoint(file.content, file.write, 1e6).stored("p")
    assert stored is not None
    less = {name: tensor for name, tensor in stored.state.items() if name != missing}
    checkpoint = Checkpoint(b"", file.write, 0.0)
    checkpoint.follow(lambda: Part("p", less, None))
    checkpoint.stepped()
    with pytest.raises(CheckpointError, match=rf"{missing}.* remove it \(_runs/"):
        optimise(problem, ignored, Checkpoint(file.content, file.write, 1e6))


@pytest.mark.parametrize("line", range(3))
def test_a_problem_is_saved_once_wherever_solving_it_is_interrupted(line: int) -> None:
    file = File()
    checkpoint = Checkpoint(b"", file.write, 1e6)
    state = {"step": torch.tensor(1)}
    checkpoint.follow(lambda: Part("p", state, None))
    with pytest.raises(KeyboardInterrupt), checkpoint, interrupted_at(Checkpoint.solve, line):
        checkpoint.solve(Part("p", state, Solved(1, 1)))
    resumed = Checkpoint(file.content, file.write, 1e6)
    found = resumed.stored("p")
    resumed.solve(found or Part("p", state, Solved(1, 1)))
    assert resumed.stored("q") is None


@contextmanager
def interrupted_at(function: Callable[..., Any], line: int) -> Iterator[None]:
    """Behave as a Ctrl-C before a line of a function, counted from 0 after its docstring."""
    lines, code = 0, inspect.unwrap(function).__code__  # behind the check of types

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        if frame.f_code is not code:
            return None
        if event == "line":
            lines += 1
            if lines > line:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("content", [b"x", b"\x10" + bytes(30), bytes(8)], ids=repr)
def test_a_file_that_is_none_of_ours_is_named(content: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"no state can be read .* remove it"):
        Checkpoint(content, ignored, 1.0)


def test_the_state_of_another_run_is_refused(session: Session) -> None:
    file = File()
    with pytest.raises(KeyboardInterrupt):
        outcome(session, CASES["surgery"], interrupting(3), Checkpoint(b"", file.write, 1e6))
    with pytest.raises(CheckpointError, match="surgery of alpha, expected coefficients"):
        outcome(session, CASES["adamerging"], checkpoint=Checkpoint(file.content, ignored, 1e6))
    other = Case("task_arithmetic+surgery", {"rank": 2}, ())
    with pytest.raises(CheckpointError, match=r"parameter\.0: got torch.float32 \(16, 8\)"):
        outcome(session, other, checkpoint=Checkpoint(file.content, ignored, 1e6))
