"""A study as a job of a Ray cluster: submitted, followed, and how it ended."""

import asyncio
import logging
import os
import shlex
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from distmerge.errors import CapacityError, ConfigError
from distmerge.launch.package import ENTRY, Package
from distmerge.spec import Study

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_HOW_TO = (
    "make one as cluster/README.md says, start the cluster with it, and name it here: "
    "RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=FILE"
)
_STRANGER = {"Authorization": "Bearer none"}
_TALKATIVE = ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk")
_STOP_WAIT_S = "60"  # runs in progress save their state
_READY_S = 60.0  # how long a head that has just started may take until it takes a job
_NOT_READY = "No available agent"  # Ray's words
_END_S, _LOOK_S = 60.0, 0.5


class Ended(NamedTuple):
    """How a job ended."""

    status: str
    """SUCCEEDED, FAILED or STOPPED."""
    exit_code: int | None
    """The driver's; None if it never ran to an end."""
    message: str


class JobCluster:
    """A cluster that takes jobs from whoever has its token.

    Args:
        address: ``http://HOST:PORT`` of its dashboard.

    Raises:
        CapacityError: it does not answer.
        ConfigError: the address is of another kind, there is no token, it is not the cluster's, or
            the cluster asks nobody for one.
    """

    def __init__(self, address: str) -> None:
        if not address.startswith(("http://", "https://")):
            raise ConfigError(
                f"--address: got {address}, expected http://HOST:PORT of the cluster's dashboard"
            )
        _check_token()
        # Ray prefers these to what it is told.
        os.environ["RAY_API_SERVER_ADDRESS"] = self.address = address
        os.environ.pop("RAY_ADDRESS", None)
        self._client = _client(address)

    def is_here(self) -> bool:
        """Whether all nodes are this machine; a loopback address may be a tunnel's.

        Raises:
            CapacityError: the cluster does not say.
        """
        from ray.util.state import list_nodes

        with _asking(self.address, "list its nodes"):
            nodes = list_nodes(address=self.address, filters=[("state", "=", "ALIVE")])
        return all(_is_own(node.node_ip) for node in nodes)

    def command(self, action: str, job: str) -> str:
        """Give the command of Ray's that shows or stops a job."""
        return f"ray job {action} --address {self.address} {job}"

    def submit(
        self, study: Study, arguments: Sequence[str], package: Package, env: Mapping[str, str]
    ) -> str:
        """Start the driver of a study on the head; give the job's id.

        Args:
            study: what ``arguments`` name.
            arguments: of ``jobs/sweep.py``.
            package: the job's working folder.
            env: environment variables of the job; no secrets, since Ray logs them.

        Raises:
            CapacityError: the cluster does not take it.
            ConfigError: a job runs this study already.
        """
        with _asking(self.address, "list its jobs"):
            jobs = self._client.list_jobs()
        metadata = {"study": study.study, "storage": study.storage}
        for job in jobs:
            if job.metadata == metadata and not job.status.is_terminal():
                raise ConfigError(
                    f"study {study.study}: job {job.submission_id} runs it already; wait for it, "
                    f"or stop it: {self.command('stop', job.submission_id)}"
                )
        with _asking(self.address, "take the job"):
            submit = partial(
                self._client.submit_job,
                entrypoint=shlex.join(["python", ENTRY, *arguments]),
                submission_id=_new_id(study.study, {job.submission_id for job in jobs}),
                metadata=metadata,
                runtime_env={
                    "working_dir": str(package.file),
                    "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": _STOP_WAIT_S, **env},
                },
            )
            return when_ready(submit, _READY_S)

    def follow(self, job: str, write: Callable[[str], object]) -> Ended:
        """Write the log of a job as it grows; give how the job ended.

        Raises:
            CapacityError: the connection was lost.
            KeyboardInterrupt: Ctrl-C; the job goes on.
        """
        from aiohttp import ClientError

        try:
            asyncio.run(_write_log(self._client, job, write))
            return self._end(job)
        except (ClientError, OSError, RuntimeError) as error:
            raise CapacityError(
                f"{self.address}: lost the connection ({error}); job {job} may go on: "
                f"{self.command('logs', job)} --follow"
            ) from error

    def _end(self, job: str) -> Ended:
        """Give how a job ended whose log is complete.

        Raises:
            RuntimeError: it has not ended.
        """
        end = time.monotonic() + _END_S
        while not (info := self._client.get_job_info(job)).status.is_terminal():
            if time.monotonic() > end:
                raise RuntimeError(f"the log has ended, and the job is {info.status}")
            time.sleep(_LOOK_S)
        return Ended(str(info.status.value), info.driver_exit_code, info.message or "")


async def _write_log(
    client: "JobSubmissionClient", job: str, write: Callable[[str], object]
) -> None:
    text = ""
    async for text in client.tail_job_logs(job):
        write(text)
    if text and not text.endswith("\n"):
        write("\n")


@contextmanager
def _asking(address: str, what: str) -> Iterator[None]:
    """Give what goes wrong between us and a cluster as an error of ours.

    Raises:
        CapacityError: the cluster does not answer, or not with what was asked for.
    """
    from ray.util.state.exception import RayStateApiException

    try:
        yield
    except (OSError, RuntimeError, RayStateApiException) as error:
        raise CapacityError(f"{address}: the cluster did not {what}: {error}") from error


def _check_token() -> None:
    """Turn token authentication on.

    Raises:
        ConfigError: it was turned off, or there is no token.
    """
    mode = os.environ.setdefault("RAY_AUTH_MODE", "token")
    if mode != "token":
        raise ConfigError(f"RAY_AUTH_MODE: got {mode}; jobs need a token: {_HOW_TO}")
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    if not (os.environ.get("RAY_AUTH_TOKEN") or (file.is_file() and file.read_text().strip())):
        raise ConfigError(f"no token in RAY_AUTH_TOKEN or {file}; {_HOW_TO}")


def _client(address: str) -> Any:
    """Give a client of a cluster that lets nobody in without its token.

    Raises:
        CapacityError: the cluster does not answer.
        ConfigError: it lets everybody in, or does not know our token.
    """
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        JobSubmissionClient(address, headers=dict(_STRANGER))
    except AuthenticationError:
        pass  # as it should be
    except (OSError, RuntimeError) as error:
        raise CapacityError(
            f"{address}: no answer from a cluster's dashboard ({error}); start the cluster, or its "
            "tunnel: ray dashboard LAUNCH_FILE"
        ) from error
    else:
        raise ConfigError(
            f"{address}: the cluster runs jobs of anybody who reaches it; start it with "
            "RAY_AUTH_MODE=token (docs/security.md)"
        )
    try:
        return JobSubmissionClient(address)
    except AuthenticationError as error:
        raise ConfigError(
            f"{address}: the cluster has another token than RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH "
            "or ~/.ray/auth_token name"
        ) from error


def _new_id(study: str, taken: set[str | None]) -> str:
    """Give the first id that no job has had: Ray takes each once."""
    return next(
        name for number in range(1, len(taken) + 2) if (name := f"{study}-{number}") not in taken
    )


def _is_own(address: str) -> bool:
    """Whether an IP address is this machine's: only such a one can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def when_ready(submit: Callable[[], str], patience_s: float) -> str:
    """Give what ``submit`` gives, asking again as long as a cluster says it is not ready yet.

    Raises:
        RuntimeError: it refuses for another reason, or is not ready in ``patience_s``.
    """
    end = time.monotonic() + patience_s
    while True:
        try:
            return submit()
        except RuntimeError as error:
            if _NOT_READY not in str(error) or time.monotonic() > end:
                raise
        time.sleep(_LOOK_S)
