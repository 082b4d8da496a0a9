"""Metrics as Prometheus reads them, from the port that Ray opens on every node."""

import contextlib
import math
import re
import threading
import time
import urllib.request
from collections import defaultdict
from pathlib import Path

import pytest
import ray

from distmerge.actors import count_ended, measure_study, step_timer
from distmerge.coordinator import Progress
from distmerge.spec import ModelFiles
from distmerge.sweep import run_sweep
from tests.sweep.studies import ADAPT, console, study_of

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]

STUDY = "measured"
PIPELINES = [{"stages": ["weight_averaging"]}, {"stages": ["adamerging"], "settings": ADAPT}]
SCRAPED_S = 60.0  # a process exports about every 10 s
GAUGES = {
    *("distmerge_features_waiting", "distmerge_feature_bytes_in_flight"),
    *("distmerge_runs_waiting", "distmerge_runs_in_progress"),
}
LINE = re.compile(r"ray_(distmerge_\w+)\{(.*)\} (\S+)")


def scraped() -> dict[str, float]:
    """Give the sums of the study's metrics on this node, over processes and other tags."""
    (node,) = ray.nodes()
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        found = LINE.findall(answer.read().decode())
    sums = defaultdict[str, float](float)
    for name, tags, value in found:
        if f'study="{STUDY}"' in tags and not name.endswith("_bucket"):
            sums[name] += float(value)
    return sums


def keep_scraping(names: set[str]) -> None:
    """Take note of the names that are there, until all gauges have been."""
    end = time.monotonic() + 5 * SCRAPED_S
    while not names >= GAUGES and time.monotonic() < end:
        with contextlib.suppress(OSError):
            names.update(scraped())
        time.sleep(0.5)


@pytest.mark.slow
def test_a_sweep_exports_its_numbers(
    world: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTMERGE_CACHE", str(tmp_path / "cache"))
    layout = {"timeout_s": 120.0, "max_concurrent": 1}
    study = study_of(world, tmp_path / "results", study=STUDY, pipelines=PIPELINES, ray=layout)
    names = set[str]()
    scraper = threading.Thread(target=keep_scraping, args=(names,), daemon=True)
    scraper.start()
    run_sweep(study, console())
    count_ended("adamerging", "ok", 2.5)  # there is no GPU here
    expected = {
        "distmerge_feature_cache_misses_total": 18,
        "distmerge_runs_ended_total": 3,
        "distmerge_step_seconds_count": ADAPT["adamerging.steps"] - 1,
        "distmerge_gpu_seconds_total": 2.5,
    }
    end = time.monotonic() + SCRAPED_S
    while not (found := scraped()).items() >= expected.items():
        assert time.monotonic() < end, found
        time.sleep(1)
    assert found["distmerge_step_seconds_sum"] > 0
    while not names >= GAUGES:  # Ray shows a gauge for as long as somebody sets it
        assert time.monotonic() < end, names
        time.sleep(1)


def test_what_lies_before_a_first_step_is_not_timed() -> None:
    measure_study("timed")
    observe = step_timer("adamerging")
    observe(Progress("coefficients", 1, 3, 0.5))
    observe(Progress("coefficients", 2, 3, math.nan))
    observe(Progress("coefficients", 3, 3, 0.5))
