"""Connect to the cluster of ``RAY_ADDRESS``, or start one on loopback."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from distmerge.errors import CapacityError


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
