import pytest

from distmerge.errors import ConfigError
from distmerge.remote import (
    is_client_error,
    may_recover,
    open_url,
    reason,
    without_query,
    without_secret,
)


@pytest.mark.parametrize(
    "location",
    [
        "results",
        "C:/results",
        "s3://bucket/prefix",
        "s3://bucket/a=b@c:d",
        "hf://owner/name@main",
        "hf://name@main",
        "http://127.0.0.1:8333/a@b",
        "ssh://user@host/data",
    ],
)
def test_a_location_without_a_secret_is_given_back(location: str) -> None:
    assert without_secret(location) == location


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("s3://AKIA:hidden@bucket/x", r"s3://\.\.\.@bucket/x: a URL must not"),
        ("s3://AKIA:hid/den@bucket/x", r"s3://\.\.\.@bucket/x: a URL must not"),
        ("s3://AKIA:123/hidden@bucket/x", r"s3://\.\.\.@bucket/x: a URL must not"),
        ("https://user:hidden@host:80/x", r"https://\.\.\.@host:80/x: a URL must not"),
    ],
)
def test_a_secret_in_a_url_is_refused_and_not_shown(location: str, shown: str) -> None:
    with pytest.raises(ConfigError, match=shown) as caught:
        without_secret(location)
    assert "hid" not in str(caught.value)
    with pytest.raises(ConfigError, match=shown):
        open_url(location)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError("AWS Error NO_SUCH_BUCKET during PutObject"), "no such bucket; create it"),
        (OSError("AWS Error ACCESS_DENIED during PutObject"), "no permission to do this, or wrong"),
        (OSError("AWS Error SIGNATURE_DOES_NOT_MATCH during"), "the credentials are wrong; set AW"),
        (PermissionError("Forbidden"), "no permission to do this, or wrong"),
        (FileNotFoundError("b/x"), "no such file or folder, or key"),
        (OSError("AWS Error NETWORK_CONNECTION during"), "no answer; check the network and, if"),
        (ImportError("no s3fs"), r"no s3fs; pip install 'distmerge\[s3\]'"),
        (OSError("odd"), "^OSError: odd$"),
    ],
)
def test_an_error_is_told_in_words(error: Exception, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        raise RuntimeError(reason(error, "s3://b/x"))


def test_advice_is_that_of_the_place() -> None:
    assert "HF_TOKEN" in reason(PermissionError("x"), "hf://owner/name")
    assert "AWS" not in reason(PermissionError("x"), "memory://x")
    assert "install its fsspec package" in reason(ImportError("x"), "gs://x")


@pytest.mark.parametrize(
    ("text", "later"),
    [
        ("AWS Error UNKNOWN (HTTP status 503) during PutObject operation", True),
        ("AWS Error SLOW_DOWN during PutObject operation", True),
        ("AWS Error NETWORK_CONNECTION during PutObject operation", True),
        ("AWS Error ACCESS_DENIED during PutObject operation", False),
        ("AWS Error UNKNOWN (HTTP status 400) during PutObject operation", False),
    ],
)
def test_only_a_server_that_is_down_or_busy_may_recover(text: str, later: bool) -> None:
    assert may_recover(OSError(text)) is later


def test_errors_of_clients_are_known_by_their_package() -> None:
    from botocore.exceptions import NoCredentialsError

    assert is_client_error(NoCredentialsError())
    assert not is_client_error(RuntimeError("a fault of ours"))


def test_a_url_gives_its_file_system_and_path() -> None:
    system, path = open_url("memory://bucket/a")
    assert system.protocol == "memory"
    assert path == "/bucket/a"


SIGNED = "https://bucket.host/models/a.pt?X-Amz-Signature=hidden&x=1"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (SIGNED, "https://bucket.host/models/a.pt?..."),
        (f"403, url='{SIGNED}', no", "403, url='https://bucket.host/models/a.pt?...', no"),
        ("https://host/a.pt", "https://host/a.pt"),
        ("s3://bucket/part-?.parquet", "s3://bucket/part-?.parquet"),
    ],
)
def test_queries_of_web_addresses_are_hidden(text: str, shown: str) -> None:
    assert without_query(text) == shown


@pytest.mark.parametrize("error", [FileNotFoundError(SIGNED), ValueError(SIGNED)])
def test_a_reason_does_not_tell_a_signature(error: Exception) -> None:
    assert "hidden" not in reason(error, SIGNED)
    assert "a.pt?..." in reason(error, SIGNED)
