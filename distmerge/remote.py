"""Places behind a URL: how they are opened, and what their errors mean."""

import re
from typing import Any

from distmerge.errors import ConfigError

# A slow server may take its time; one that does not answer at all is given up in seconds.
_PATIENCE = {
    "s3": {
        "use_listings_cache": False,
        "config_kwargs": {"retries": {"total_max_attempts": 3, "mode": "standard"}},
    }
}
_EXTRAS = {"s3": "s3", "hf": "hf"}
_AWS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role"
_CREDENTIALS = {"s3": _AWS, "hf": "set HF_TOKEN, or call `hf auth login`"}
_ENDPOINTS = {"s3": " and, if the store is not AWS's, AWS_ENDPOINT_URL", "hf": " and HF_ENDPOINT"}
# Digits before a slash are a port, but on S3, where no URL has one: there they begin a password.
_SECRET = re.compile(r"(?<=s3)://[^/:@]*:[^@]*@|://[^/:@]*:(?!\d+/)[^@]*@")
_QUERY = re.compile(r"(https?://[^\s'\"?]*)\?[^\s'\"]+")
# File systems behind fsspec have no error in common; these packages have their own.
_CLIENTS = frozenset({"aiobotocore", "aiohttp", "botocore", "httpx", "httpx2", "huggingface_hub"})
_DOWN = (
    r"NETWORK_CONNECTION|SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|REQUEST_TIMEOUT"
    r"|HTTP status (429|5\d\d)|Service Unavailable|SlowDown|EndpointConnectionError"
    r"|Connect(ion|Timeout|)Error|ReadTimeoutError|ConnectionClosedError"
)
_REASONS = (  # the first that fits; pyarrow tells them apart by text alone
    (r"NoCredentialsError|Unable to locate credentials", "no credentials; {credentials}"),
    (
        r"INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|access key ID you provided|signature we",
        "the credentials are wrong; {credentials}",
    ),
    (r"NO_SUCH_BUCKET|bucket does not exist", "no such bucket; create it, or correct the URL"),
    (
        r"ACCESS_DENIED|^PermissionError|Forbidden|Unauthorized|GatedRepoError",
        "no permission to do this, or wrong credentials; {credentials}",
    ),
    (
        r"^(FileNotFoundError|RepositoryNotFoundError|EntryNotFoundError)",
        "no such file or folder, or key",
    ),
    (_DOWN, "no answer; check the network{endpoint}"),
)


def without_secret(location: str) -> str:
    """Give the location back, if no password or key is in it.

    Raises:
        ConfigError: it holds one; the message does not.
    """
    found = _SECRET.search(location)
    if found:
        shown = without_query(f"{location[: found.start()]}://...@{location[found.end() :]}")
        raise ConfigError(f"{shown}: a URL must not hold credentials; {_AWS}")
    return location


def without_query(text: str) -> str:
    """Give a text whose web addresses have no query: one that was signed lets anyone in."""
    return _QUERY.sub(r"\1?...", text)


def open_url(url: str) -> tuple[Any, str]:
    """Give the fsspec file system of a URL, and the path in it; nothing is asked of a server.

    Raises:
        ConfigError: the URL holds a password or key.
        ImportError: the package of its file system is not installed.
        ValueError: there is no such file system.
    """
    import fsspec

    options = _PATIENCE.get(url.partition("://")[0], {})
    system, path = fsspec.core.url_to_fs(without_secret(url), **options)
    return system, path


def is_client_error(error: Exception) -> bool:
    """Whether it comes from a package that talks to servers, as a type of its own."""
    return type(error).__module__.partition(".")[0] in _CLIENTS


def may_recover(error: Exception) -> bool:
    """Whether the same request may succeed later: the server is down, or too busy."""
    return re.search(_DOWN, _text(error)) is not None


def reason(error: Exception, url: str) -> str:
    """Give why a place behind a URL cannot be used, and what to do about it; no query is in it."""
    scheme = url.partition("://")[0]
    if isinstance(error, ImportError):
        extra = _EXTRAS.get(scheme)
        how = f"pip install 'distmerge[{extra}]'" if extra else "install its fsspec package"
        return f"{error}; {how}"
    text = _text(error)
    for pattern, words in _REASONS:
        if re.search(pattern, text):
            advice = {
                "credentials": _CREDENTIALS.get(scheme, "check them"),
                "endpoint": _ENDPOINTS.get(scheme, ""),
            }
            return without_query(f"{words.format(**advice)} ({error})")
    return without_query(text)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
