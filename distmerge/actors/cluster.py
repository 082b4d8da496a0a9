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
        CapacityError: the cluster of ``RAY_ADDRESS`` does not answer.
    """
    address = os.environ.get("RAY_ADDRESS")
    if ray.is_initialized():
        yield dict(ray.cluster_resources())
        return
    _check_address(address)
    try:
        ray.init(
            address=address,
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.WARNING,
        )
    except ConnectionError as error:
        raise CapacityError(
            f"RAY_ADDRESS={address}: no answer from the cluster: {error}"
        ) from error
    try:
        yield dict(ray.cluster_resources())
    finally:
        ray.shutdown()


def _check_address(address: str | None) -> None:
    """Refuse an address where nothing listens; Ray itself would try for minutes.

    Raises:
        CapacityError: nothing accepts a connection there.
    """
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
