"""What a user reads when a place on S3 cannot be used, and how soon."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from distmerge.errors import DistmergeError
from distmerge.models import import_checkpoint
from distmerge.results import RunStore
from distmerge.tasks.listing import listed
from tests.spec.hypers import HYPERS
from tests.storage.clients import signed_in
from tests.storage.server import GUEST, WRITER, Account, needs_s3

pytestmark = needs_s3
WRONG = WRITER._replace(secret="a-secret-that-is-wrong")
UNKNOWN = Account("nobody", "a-secret-that-is-wrong")
Act = Callable[[str, Path], None]
NOWHERE = "http://127.0.0.1:1"
_SECONDS = 20  # pyarrow gives up after 6, s3fs after some tries of less


def _write(url: str, _: Path) -> None:
    RunStore(url, HYPERS).check_writable()


def _read(url: str, _: Path) -> None:
    RunStore(url, HYPERS).records("tiny")


def _import(url: str, folder: Path) -> None:
    import_checkpoint(f"{url}/model.safetensors", folder)


def _list(url: str, _: Path) -> None:
    listed(f"{url}/images")


REFUSED = "no permission to do this, or wrong credentials; set AWS_ACCESS_KEY_ID"
FALSE = r"the credentials are wrong; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROF"
DOWN = "no answer; check the network and, if the store is not AWS's, AWS_ENDPOINT_URL"
NO_BUCKET = "no such bucket; create it, or correct the URL"


@pytest.mark.parametrize(
    ("account", "act", "message"),
    [
        (WRONG, _write, FALSE),
        (WRONG, _read, FALSE),
        (WRONG, _import, REFUSED),  # the answer to a HEAD has no text
        (WRONG, _list, FALSE),
        (UNKNOWN, _write, FALSE),
        (UNKNOWN, _list, FALSE),
        (GUEST, _write, REFUSED),
        (GUEST, _read, REFUSED),
        (GUEST, _import, REFUSED),
        (GUEST, _list, REFUSED),
        (None, _write, REFUSED),
        (None, _import, "no credentials; set AWS_ACCESS_KEY_ID"),
        (None, _list, "no credentials; set AWS_ACCESS_KEY_ID"),
    ],
)
def test_a_client_without_the_right_to_it_is_told_so(
    account: Account | None, act: Act, message: str, bucket: str, s3_endpoint: str
) -> None:
    with (
        signed_in(account, s3_endpoint),
        pytest.raises(DistmergeError, match=message) as caught,
    ):
        act(bucket, Path("never-written"))
    assert not Path("never-written").exists()
    assert bucket in str(caught.value)
    assert account is None or account.secret not in str(caught.value)


@pytest.mark.parametrize(
    "act",
    [_write, _read, _import, _list],
)
def test_a_bucket_that_is_not_there_is_named(act: Act, bucket: str, tmp_path: Path) -> None:
    with pytest.raises(DistmergeError, match=rf"s3://absent-bucket.*{NO_BUCKET}"):
        act("s3://absent-bucket/x", tmp_path)


@pytest.mark.parametrize("act", [_import, _list])
def test_a_key_that_is_not_there_is_named(act: Act, bucket: str, tmp_path: Path) -> None:
    with pytest.raises(DistmergeError, match=rf"{bucket}/x/.*no such file or folder, or key"):
        act(f"{bucket}/x", tmp_path)


def test_a_prefix_without_results_has_no_rows(bucket: str) -> None:
    assert RunStore(f"{bucket}/nothing/here", HYPERS).records("tiny").empty


@pytest.mark.parametrize("act", [pytest.param(_write, marks=pytest.mark.slow), _import, _list])
def test_an_endpoint_that_does_not_answer_is_given_up_in_seconds(act: Act, tmp_path: Path) -> None:
    start = time.monotonic()
    with signed_in(WRITER, NOWHERE), pytest.raises(DistmergeError, match=DOWN):
        act("s3://bucket/x", tmp_path)
    assert time.monotonic() - start < _SECONDS
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("act", [_write, _read, _import, _list])
def test_a_secret_in_a_url_is_refused_and_not_repeated(act: Act, tmp_path: Path) -> None:
    with pytest.raises(DistmergeError, match=r"s3://\.\.\.@bucket/x.*must not hold cred") as caught:
        act(f"s3://{WRITER.key}:{WRITER.secret}@bucket/x", tmp_path)
    assert WRITER.secret not in str(caught.value)
