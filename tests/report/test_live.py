"""The page as it is served beside a sweep."""

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from distmerge.errors import ConfigError
from distmerge.report import LiveReport
from distmerge.report.live import VERSION
from tests.report.results import LEARNED, stored


def got(address: str, path: str = "", host: str | None = None) -> str:
    headers = {"Host": host} if host else {}
    request = urllib.request.Request(address + path, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def closed(live: LiveReport) -> bool:
    try:
        got(live.address)
    except urllib.error.URLError:
        return True
    return False


@contextmanager
def following(root: str) -> Iterator[LiveReport]:
    live = LiveReport(root, None, 0)
    work = threading.Thread(target=live.follow, args=(lambda _: time.sleep(0.05),))
    work.start()
    try:
        yield live
    finally:
        live.end()
        work.join(timeout=20)
        assert not work.is_alive()


def test_a_page_follows_what_is_stored(tmp_path: Path) -> None:
    with following(str(tmp_path)) as live:
        first, version = got(live.address), got(live.address, VERSION[1:])
        assert "waiting for results" in first
        assert "no results here" in first
        stored(tmp_path, LEARNED[0])
        end = time.monotonic() + 30
        while got(live.address, VERSION[1:]) == version and time.monotonic() < end:
            time.sleep(0.05)
        assert ">learner<" in got(live.address)
        assert f'data-version="{got(live.address, VERSION[1:])}"' in got(live.address)


def test_a_page_asks_its_own_server_alone(tmp_path: Path) -> None:
    with following(stored(tmp_path, LEARNED[0])) as live:
        text = got(live.address)
    assert "connect-src 'self'" in text
    assert live.address.startswith("http://127.0.0.1:")


def test_another_study_that_begins_does_not_end_the_page(tmp_path: Path) -> None:
    with following(stored(tmp_path, LEARNED[0])) as live:
        version = got(live.address, VERSION[1:])
        stored(tmp_path, replace(LEARNED[0], study="another"))
        end = time.monotonic() + 30
        while got(live.address, VERSION[1:]) == version and time.monotonic() < end:
            time.sleep(0.05)
        assert got(live.address, VERSION[1:]) != version
        assert ">learner<" in got(live.address)


def test_a_host_may_be_named_without_its_port(tmp_path: Path) -> None:
    with following(str(tmp_path)) as live:
        assert "waiting for results" in got(live.address, host="localhost")


@pytest.mark.parametrize(("path", "host", "code"), [("x", None, 404), ("", "evil.example:80", 403)])
def test_nothing_else_is_answered(path: str, host: str | None, code: int, tmp_path: Path) -> None:
    with (
        following(str(tmp_path)) as live,
        pytest.raises(urllib.error.HTTPError, match=str(code)) as refused,
    ):
        got(live.address, path, host)
    refused.value.close()


def test_an_interrupt_ends_the_server(tmp_path: Path) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    live = LiveReport(str(tmp_path), None, 0)
    with pytest.raises(KeyboardInterrupt):
        live.follow(interrupt)
    assert closed(live)


def test_a_page_that_takes_long_to_make_is_made_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distmerge.report.live.REST", 1000.0)
    monkeypatch.setattr("distmerge.report.live.LOOK_S", 100.0)
    live = LiveReport(str(tmp_path), None, 0)
    looks, left = list[tuple[float, float]](), [time.monotonic()]

    def wait(seconds: float) -> None:
        looks.append((seconds, time.monotonic() - left[-1]))
        if len(looks) == 1:
            stored(tmp_path, LEARNED[0])
        if len(looks) == 3:
            live.end()
        left.append(time.monotonic())

    live.follow(wait)
    _, (with_news, took_s), (without, _) = looks
    assert with_news == pytest.approx(1000 * took_s, rel=0.05)
    assert without == 100.0


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with following(str(tmp_path)) as live:
        port = int(live.address.rstrip("/").rpartition(":")[2])
        with pytest.raises(ConfigError, match=f"port {port}: cannot listen"):
            LiveReport(str(tmp_path), None, port)
