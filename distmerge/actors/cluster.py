"""Connect to the cluster of ``RAY_ADDRESS``, or start one on loopback."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from distmerge.errors import CapacityError

_ANSWER_S = 10.0  # how long an address may take to accept a connection


@contextmanager
def cluster() -> Iterator[dict[str, float]]:
    """Hold a connection to Ray; yields the cluster's total resources.

    A connection that exists already is used and left open.

    Raises:
        CapacityError: the cluster of ``RAY_ADDRESS`` does not answer, or none can be started here.
    """
    address = os.environ.get("RAY_ADDRESS") or None
    if ray.is_initialized():
        yield dict(ray.cluster_resources())
        return
    _check_address(address)
    try:
        ray.init(
            address=address or "local",  # else Ray joins what was started here by `ray start`
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.WARNING,
        )
    except Exception as error:  # a start that takes too long has no class of its own
        raise CapacityError(_unreached(address, error)) from error
    try:
        yield dict(ray.cluster_resources())
    finally:
        ray.shutdown()


def nodes() -> dict[str, dict[str, float]]:
    """Give what every node that is there offers in all, by Ray's id of the node."""
    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


def _unreached(address: str | None, error: Exception) -> str:
    if address:
        return (
            f"RAY_ADDRESS={address}: cannot connect ({error}); expected HOST:PORT of a running "
            "head, its token in RAY_AUTH_TOKEN or ~/.ray/auth_token, and RAY_AUTH_MODE=token"
        )
    return (
        f"Ray did not start on this machine ({error}); its logs are in ray/session_latest/logs "
        "below RAY_TMPDIR (/tmp). Free memory, disk or cores and try again, set RAY_TMPDIR to "
        "another folder with a short path, or do without Ray: ray=false"
    )


def _check_address(address: str | None) -> None:
    """Refuse an address where nothing listens; Ray itself would try for minutes.

    Raises:
        CapacityError: nothing accepts a connection there.
    """
    if address and address.startswith("http"):
        raise CapacityError(
            f"RAY_ADDRESS={address}: that is the dashboard; RAY_ADDRESS is HOST:PORT of the head, "
            "and `ray job submit` takes the dashboard as RAY_API_SERVER_ADDRESS"
        )
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), _ANSWER_S).close()
    except OSError as error:
        raise CapacityError(
            f"RAY_ADDRESS={address}: no answer from the cluster ({error}); start it, or unset "
            "RAY_ADDRESS to run on this machine"
        ) from error
