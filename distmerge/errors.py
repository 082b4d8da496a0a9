"""Takes what went wrong; gives one error that a user can act on. Everything else imports this."""

from collections.abc import Mapping, Sequence


class DistmergeError(Exception):
    """Any error that distmerge raises on purpose; the message is for the user."""


class ConfigError(DistmergeError, ValueError):
    """A study file, an override or an option is wrong."""


class CheckpointError(DistmergeError, ValueError):
    """A checkpoint or a head does not fit the models it is used with."""


class DataError(DistmergeError, ValueError):
    """A task's images or labels are missing, empty, malformed or shared between roles."""


class CapacityError(DistmergeError, RuntimeError):
    """The cluster does not offer what the study asks for."""


class WorkerDiedError(DistmergeError, RuntimeError):
    """A worker was lost for good: it could not start, or it died more often than allowed."""


class WorkerTimeoutError(DistmergeError, TimeoutError):
    """A worker did not answer in the time that the study allows."""


class RunTimeoutError(DistmergeError, TimeoutError):
    """A run took longer than the study allows."""


class PrunedError(DistmergeError, RuntimeError):
    """The study ends a run early, at the last rung in ``seen``; not an error of the run."""

    def __init__(self, seen: Mapping[int, float]) -> None:
        super().__init__(f"ended early at step {max(seen)}")
        self.seen = seen


class DivergenceError(DistmergeError, ArithmeticError):
    """A loss, a coefficient or a weight is no longer finite."""


class ZooError(DistmergeError, RuntimeError):
    """A built-in zoo could not be built."""


class ResultsError(DistmergeError, RuntimeError):
    """A results dataset is missing or unreadable."""


class UnavailableError(ResultsError):
    """A storage does not answer; later it may."""


def problem_list(title: str, problems: Sequence[str]) -> str:
    """Give one message that lists all ``problems`` of one kind under ``title``."""
    lines = "\n".join(f"  - {problem}" for problem in problems)
    return f"{title}:\n{lines}"
