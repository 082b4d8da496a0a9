import pytest

from distmerge.report import Report
from distmerge.report.content import Figure
from distmerge.report.panels import clouds, heat


def figure(report: Report, slug: str) -> Figure:
    return next(one for one in report.figures if one.slug == slug)


def test_a_heat_map_names_its_blocks_above(full_report: Report) -> None:
    spec = heat(figure(full_report, "coefficients-learner")).to_dict()
    assert [layer["mark"]["type"] for layer in spec["layer"]] == ["rect", "rule", "text"]
    (names,) = [rows for rows in spec["datasets"].values() if rows[0].keys() == {"place", "block"}]
    assert names == [
        {"place": 1, "block": "stem"},
        {"place": 3, "block": "0"},
        {"place": 4, "block": "final"},
    ]


def test_a_slider_begins_at_the_last_step_and_keeps_the_shades(full_report: Report) -> None:
    spec = heat(figure(full_report, "moving-learner")).to_dict()
    assert {"name": "frame", "value": 30} in spec["params"]
    shade = spec["layer"][0]["encoding"]["color"]["scale"]
    assert shade["domain"] == pytest.approx([0, 1.1])


def test_a_panel_per_task_has_a_scale_of_its_own(full_report: Report) -> None:
    spec = clouds(figure(full_report, "features-learner")).to_dict()
    assert spec["resolve"]["scale"] == {"x": "independent", "y": "independent"}
    assert spec["facet"]["sort"] == ["alpha", "beta", "gamma"]
