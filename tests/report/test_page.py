import json
import re
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import html5lib
import pytest

from distmerge.errors import ConfigError
from distmerge.report import Report, page, study_report
from distmerge.results import Metric
from tests.report.results import LEARNED, LOST, accurate, learned, stored

EVIL = "</script><img src=x onerror=alert(1)>"


class Elements(HTMLParser):
    """Every element's name and attributes, and all visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found[-1:] and self.found[-1][0] not in {"script", "style"}:
            self.words.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def text(full_report: Report) -> str:
    return page(full_report)


@pytest.fixture(scope="module")
def elements(text: str) -> Elements:
    return Elements(text)


def test_the_page_is_valid_html(text: str) -> None:
    html5lib.HTMLParser(strict=True).parse(text)


def test_the_page_loads_nothing_from_elsewhere(elements: Elements) -> None:
    places = [
        value
        for _, attributes in elements.found
        for name, value in attributes.items()
        if name in {"src", "href", "action", "data", "poster", "srcset"}
    ]
    assert all(str(place).startswith(("#", "data:")) for place in places)
    policies = [found.get("content") or "" for found in elements.named("meta")]
    assert any(policy.startswith("default-src 'none'") for policy in policies)


def test_every_section_can_be_reached_and_every_figure_is_described(
    elements: Elements, full_report: Report
) -> None:
    links = {found["href"] for found in elements.named("a")}
    ids = {attributes.get("id") for _, attributes in elements.found}
    assert links >= {f"#{section.slug}" for section in full_report.sections}
    assert {str(link)[1:] for link in links} <= ids
    figures = [found for found in elements.named("div") if "data-figure" in found]
    assert {found["data-figure"] for found in figures} == {f.slug for f in full_report.figures}
    assert all(found["role"] == "img" and found["aria-label"] for found in figures)


def test_tables_name_their_rows_and_columns(elements: Elements) -> None:
    assert len(elements.named("caption")) == len(elements.named("table")) > 0
    assert {found.get("scope") for found in elements.named("th")} == {"row", "col"}


def test_numbers_of_the_leaderboard_stand_in_the_page(elements: Elements) -> None:
    assert {"router", "73.3", "64.3 ±1.4"} <= set(elements.words)


def test_names_and_messages_of_users_are_only_text(tmp_path: Path) -> None:
    tasks = tuple(m._replace(task=EVIL) if m.task == "alpha" else m for m in LEARNED[0].metrics)
    lost = replace(LOST[0], error=EVIL)
    text = page(study_report(stored(tmp_path, replace(LEARNED[0], metrics=tasks), lost)))
    html5lib.HTMLParser(strict=True).parse(text)
    assert EVIL not in text
    assert Elements(text).named("img") == []
    assert "\\u003c/script>\\u003cimg" in text


def test_specifications_are_json(text: str) -> None:
    found = re.search(r'id="specifications">(.*?)</script>', text, re.DOTALL)
    assert found
    assert "leaderboard" in json.loads(found.group(1))


def test_a_study_without_figures_needs_no_script(tmp_path: Path) -> None:
    text = page(study_report(stored(tmp_path, LOST[0])))
    assert "<script" not in text
    html5lib.HTMLParser(strict=True).parse(text)


@pytest.mark.parametrize("missing", ["altair", "vl_convert"])
def test_without_the_extra_the_error_names_it(
    full_report: Report, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)  # Python's own way to say: not installed
    with pytest.raises(ConfigError, match=r"pip install 'distmerge\[report\]'"):
        page(full_report)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pandas.errors.PerformanceWarning")  # of results.runs
def test_a_hundred_tasks_fit(tmp_path: Path) -> None:
    many = tuple(Metric("clean", f"task{i:03}", "accuracy", 0.5 + i / 1000) for i in range(100))
    records = [
        replace(accurate(f"a{i}", f"average{i}", 0.5), metrics=(*many, *LEARNED[0].metrics[3:4]))
        for i in range(8)
    ]
    report = study_report(stored(tmp_path, *records))
    assert dict(report.facts)["tasks"].endswith("task011 and 88 more")
    assert len(page(report)) < 5_000_000


@pytest.mark.slow
def test_a_thousand_runs_are_one_page_in_bounded_time_and_size(tmp_path: Path) -> None:
    records = [learned(f"l{i:04}", 0.3 + i / 5000, 0.001 + i / 10_000) for i in range(1000)]
    root = stored(tmp_path, *records)
    start = time.process_time()
    text = page(study_report(root))
    assert time.process_time() - start < 60  # 6 s on an idle core; others' load does not count
    assert len(text) < 5_000_000
