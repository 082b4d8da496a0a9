"""The page as a reader has it: drawn, without complaint, to be played with, open to everyone."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from distmerge.report import Report, page, study_report
from distmerge.results import Metric
from distmerge.results.schema import arrow_table
from tests.report.browser import asked, axe, needs_chromium
from tests.report.results import STUDY, learned, metrics
from tests.spec.hypers import HYPERS

pytestmark = [pytest.mark.slow, needs_chromium]

_PLAY = """
const select = document.getElementById("chosen");
select.value = "learner";
select.dispatchEvent(new Event("change"));
const slider = document.querySelector("[data-slides]");
slider.value = 1;
slider.dispatchEvent(new Event("input"));
const mark = document.querySelector("#figure-leaderboard .mark-symbol path");
const box = mark.getBoundingClientRect();
const at = { bubbles: true, clientX: box.x + box.width / 2, clientY: box.y + box.height / 2 };
for (const kind of ["pointerover", "pointermove", "mousemove"]) mark.dispatchEvent(new PointerEvent(kind, at));
await new Promise((done) => setTimeout(done, 500));
return {
  figures: document.querySelectorAll("svg.marks").length,
  picked: [...document.querySelectorAll("tr.picked th")].map((one) => one.textContent),
  faint: document.querySelectorAll('#figure-leaderboard path[opacity="0.1"]').length,
  step: slider.nextElementSibling.textContent,
  hint: document.getElementById("vg-tooltip-element")?.textContent,
  wide: document.documentElement.scrollWidth - innerWidth,
};
"""  # noqa: E501  # a script
_AXE = """
const report = await axe.run(document, { resultTypes: ["violations"] });
return report.violations.map((one) => [one.impact, one.id, one.nodes.map((node) => node.html.slice(0, 160))]);
"""  # noqa: E501  # a script


@pytest.fixture(scope="module")
def text(full_report: Report) -> str:
    return page(full_report)


def test_every_figure_is_drawn_and_can_be_played_with(
    text: str, full_report: Report, tmp_path: Path
) -> None:
    found, console = asked(text, _PLAY, tmp_path)
    assert console == []
    assert found["figures"] == len(full_report.figures)
    assert set(found["picked"]) == {"learner"}
    assert found["faint"] > 0
    assert found["step"] == "10"
    assert "method" in found["hint"]
    assert found["wide"] <= 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_violation(theme: str, text: str, tmp_path: Path) -> None:
    script = axe(tmp_path).replace("</script", "<\\/script")
    shown = text.replace("color-scheme: light dark", f"color-scheme: {theme}")
    if theme == "dark":
        shown = shown.replace("@media (prefers-color-scheme: dark)", "@media screen")
    with_axe = shown.replace("</head>", f"<script>{script}</script></head>", 1)
    found, console = asked(with_axe, _AXE, tmp_path)
    assert console == []
    assert [one for one in found if one[0] in {"serious", "critical"}] == []


def test_ten_thousand_runs_open_in_seconds(tmp_path: Path) -> None:
    folder = tmp_path / "results" / f"study={STUDY}" / "method=learner"
    folder.mkdir(parents=True)
    plain = learned("plain", 0.5, 0.01)
    for part in range(10):  # a file per run would take minutes to write and says nothing more
        records = (
            replace(
                plain,
                run_id=f"l{part}{i:03}",
                hyper={**plain.hyper, "learner.lr": 0.001 + i / 1e5, "learner.steps": 10 + part},
                metrics=(
                    *metrics("clean", "accuracy", [0.3 + i / 5000] * 3),
                    Metric("select", "mean", "score:agreement", 0.3 + i / 5000),
                ),
            )
            for i in range(1000)
        )
        tables = [arrow_table(record, HYPERS) for record in records]
        parquet.write_table(pa.concat_tables(tables), folder / f"l{part}-0.parquet")
    report = study_report(str(tmp_path / "results"))
    assert dict(report.facts)["runs"] == "10000 ended well"
    text = page(report)
    assert len(text.encode()) < 10_000_000
    timing = "return performance.getEntriesByName('drawn').map((one) => one.startTime)"
    (drawn_ms,), console = asked(text, timing, tmp_path)
    assert console == []
    assert drawn_ms < 5000
