"""The environment of a client of the server, and the server as another client sees it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import s3fs

from tests.storage.server import WRITER, Account

_OTHERS = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_REGION")


@contextmanager
def signed_in(account: Account | None, endpoint: str) -> Iterator[None]:
    """Set what the ordinary AWS chain reads; nothing of the user's is in it meanwhile."""
    values = environment_of(account, endpoint)
    with pytest.MonkeyPatch.context() as patch:
        for name in (*_OTHERS, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.delenv(name, raising=False)
        for name, value in values.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()  # instances keep the account of their beginning
        yield
    s3fs.S3FileSystem.clear_instance_cache()


def environment_of(account: Account | None, endpoint: str) -> dict[str, str]:
    """Give the variables that name an account, or no account, and the server."""
    values = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_CONFIG_FILE": "/dev/null",
    }
    if account is not None:
        values |= {"AWS_ACCESS_KEY_ID": account.key, "AWS_SECRET_ACCESS_KEY": account.secret}
    return values


def client() -> Any:
    """Give s3fs, which is not what writes the results, as the writer whoever is signed in."""
    return _client(os.environ["AWS_ENDPOINT_URL"])


@cache
def _client(endpoint: str) -> Any:
    return s3fs.S3FileSystem(
        key=WRITER.key,
        secret=WRITER.secret,
        endpoint_url=endpoint,
        use_listings_cache=False,
        skip_instance_cache=True,
    )


def keys(url: str) -> list[str]:
    """Give the keys below a URL as the server lists them, relative to it."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    prefix = f"{prefix}/" if prefix else ""
    answer = client().call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix)
    assert not answer["IsTruncated"]
    return [found["Key"].removeprefix(prefix) for found in answer.get("Contents", [])]
