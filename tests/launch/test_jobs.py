"""What is refused before a cluster is asked; tests/cluster runs jobs."""

from pathlib import Path

import pytest

from distmerge.errors import CapacityError, ConfigError
from distmerge.launch import JobCluster
from distmerge.launch.jobs import _is_own, _new_id, when_ready
from tests.cluster.hosts import free_port


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    # What the connection sets is undone at the end.
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS", "RAY_AUTH_MODE"):
        monkeypatch.setenv(name, "")
    monkeypatch.delenv("RAY_AUTH_MODE")


@pytest.mark.parametrize("address", ["127.0.0.1:6379", "ray://head:10001", "auto"])
def test_an_address_that_is_no_dashboard_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="expected http://HOST:PORT of the cluster's dashboard"):
        JobCluster(address)


def test_a_submission_without_a_token_is_refused_with_how_to_make_one() -> None:
    with pytest.raises(ConfigError, match=r"no token in RAY_AUTH_TOKEN or .*; make one as cluster"):
        JobCluster("http://127.0.0.1:1")


def test_a_submission_with_authentication_off_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(ConfigError, match="RAY_AUTH_MODE: got disabled; jobs need a token"):
        JobCluster("http://127.0.0.1:1")


def test_a_dashboard_that_does_not_answer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (token := tmp_path / "token").write_text("a" * 64)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    with pytest.raises(CapacityError, match="no answer from a cluster's dashboard"):
        JobCluster(f"http://127.0.0.1:{free_port()}")


def test_ids_count_up_past_those_that_were_used() -> None:
    assert _new_id("tiny", set()) == "tiny-1"
    assert _new_id("tiny", {"tiny-1", None, "other-2", "tiny-2", "tiny-4"}) == "tiny-3"


@pytest.mark.parametrize(
    ("address", "own"), [("127.0.0.1", True), ("::1", True), ("198.51.100.7", False)]
)
def test_an_address_is_this_machines_or_not(address: str, own: bool) -> None:
    assert _is_own(address) == own


def test_a_head_that_has_just_started_is_asked_again() -> None:
    answers = iter(["No available agent to submit job, please try again later."] * 2)

    def submit() -> str:
        for answer in answers:
            raise RuntimeError(answer)
        return "job"

    assert when_ready(submit, 30.0) == "job"


@pytest.mark.parametrize(
    ("answer", "patience_s"), [("No available agent", 0.0), ("a wrong entry point", 30.0)]
)
def test_a_refusal_is_not_asked_again_for_ever(answer: str, patience_s: float) -> None:
    asked = []

    def submit() -> str:
        asked.append(answer)
        raise RuntimeError(answer)

    with pytest.raises(RuntimeError, match=answer):
        when_ready(submit, patience_s)
    assert len(asked) <= 2
