import json
import logging
import resource
import time
from pathlib import Path

import pytest

from distmerge.errors import ResultsError
from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.sweep.progress import logs as module
from distmerge.sweep.progress.logs import Parts, logged, note


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(str(tmp_path), HYPERS)


def lines(folder: Path) -> list[dict[str, object]]:
    return [
        json.loads(line)
        for path in sorted(folder.rglob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]


def test_an_event_is_one_line_of_json_at_once(store: RunStore, tmp_path: Path) -> None:
    with logged(store, "tiny", "driver", wanted=True):
        note("run_ended", "run r: ok", run_id="r", wall_s=1.5)
        (line,) = lines(tmp_path / "_logs" / "tiny")
    time = str(line.pop("time"))
    assert time.endswith("+00:00")
    assert line == {
        "level": "info",
        "event": "run_ended",
        "study": "tiny",
        "message": "run r: ok",
        "run_id": "r",
        "wall_s": 1.5,
    }


def test_a_warning_of_any_module_is_there_with_its_name_and_an_error_with_its_trace(
    store: RunStore, tmp_path: Path
) -> None:
    with logged(store, "tiny", "driver", wanted=True):
        error = KeyError("gone")
        logging.getLogger("distmerge.files").warning("waiting for %s", "it", exc_info=error)
    (line,) = lines(tmp_path)
    assert (line["level"], line["event"]) == ("warning", "distmerge.files")
    assert line["message"] == "waiting for it"
    assert "KeyError: 'gone'" in str(line["trace"])


def test_a_process_has_a_file_of_its_own_that_names_its_role(
    store: RunStore, tmp_path: Path
) -> None:
    with logged(store, "tiny", "driver", wanted=True), logged(store, "tiny", "writer", wanted=True):
        note("progress", "both")
    names = sorted(path.stem.rpartition("-")[2] for path in tmp_path.rglob("*.jsonl"))
    assert names == ["driver", "writer"]


def test_nothing_is_written_where_it_is_not_wanted_or_no_sweep_runs(
    store: RunStore, tmp_path: Path
) -> None:
    with logged(store, "tiny", "driver", wanted=False):
        note("progress", "unheard")
    with logged(store, "tiny", "driver", wanted=True):
        pass
    note("progress", "unheard")
    assert lines(tmp_path) == []


def test_events_of_failed_runs_are_not_printed(
    store: RunStore, capfd: pytest.CaptureFixture[str]
) -> None:
    note("run_ended", "failed", level=logging.ERROR)
    with logged(store, "tiny", "driver", wanted=True):
        note("run_ended", "failed", level=logging.ERROR)
    assert capfd.readouterr() == ("", "")


def test_a_log_that_cannot_be_written_is_named(store: RunStore, tmp_path: Path) -> None:
    (tmp_path / "_logs").write_text("")
    with (
        pytest.raises(ResultsError, match=r"cannot write the log .* or set logs: false"),
        logged(store, "tiny", "driver", wanted=True),
    ):
        pass


def test_a_full_disk_costs_lines_and_hides_no_error(
    store: RunStore, capfd: pytest.CaptureFixture[str]
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(KeyError, match="first"), logged(store, "tiny", "driver", wanted=True):
            fail_after_a_long_line()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert capfd.readouterr().err == ""


def fail_after_a_long_line() -> None:
    note("progress", "long " * 100)
    raise KeyError("first")


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("distmerge", logging.INFO, "", 0, message, None, None)


def test_without_appending_a_file_is_written_whole_and_at_the_end(
    store: RunStore, tmp_path: Path
) -> None:
    parts = Parts(store, "_logs/tiny/a")
    parts.emit(record("one"))
    assert list(tmp_path.rglob("*.jsonl")) == []
    parts.close()
    assert (tmp_path / "_logs/tiny/a-0.jsonl").read_text() == "one\n"


def test_without_appending_a_long_log_has_several_files(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART_BYTES", 8)
    parts = Parts(store, "_logs/tiny/a")
    for messages in (("one", "two"), ("three",)):
        for message in messages:
            parts.emit(record(message))
        parts._write()
    parts.close()
    written = {path.name: path.read_text() for path in tmp_path.rglob("*.jsonl")}
    assert written == {"a-0.jsonl": "one\ntwo\n", "a-1.jsonl": "three\n"}


def test_without_appending_lines_are_there_soon_though_no_more_follow(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WRITE_S", 0.01)
    parts = Parts(store, "_logs/tiny/a")
    parts.emit(record("one"))
    end = time.monotonic() + 20
    while not list(tmp_path.rglob("a-0.jsonl")):
        assert time.monotonic() < end
    parts.close()


def test_without_appending_lines_outlast_a_storage_that_is_away(
    store: RunStore, tmp_path: Path
) -> None:
    (tmp_path / "_logs").write_text("")
    parts = Parts(store, "_logs/tiny/a")
    parts.emit(record("one"))
    parts._write()
    (tmp_path / "_logs").unlink()
    parts.close()
    assert (tmp_path / "_logs/tiny/a-0.jsonl").read_text() == "one\n"
