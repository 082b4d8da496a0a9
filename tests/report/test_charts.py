import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from distmerge.report import Report
from distmerge.report.charts import chart

SLUGS = ("leaderboard", "tasks", "corruption", "cost", "importance", "routing")
KINDS = (*SLUGS, "settings-learner", "coefficients-learner", "losses", "features-learner")


def numbers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    (rows,) = spec["datasets"].values()
    return list(rows)


def texts(content: Any, *path: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield every text of a specification, and where it stands."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from texts(value, *path, key)
    elif isinstance(content, list):
        for i, value in enumerate(content):
            yield from texts(value, *path, str(i))
    elif isinstance(content, str):
        yield path, content


@pytest.mark.parametrize("slug", KINDS)
def test_a_chart_names_no_address_and_can_be_picked_from(full_report: Report, slug: str) -> None:
    figure = next(one for one in full_report.figures if one.slug == slug)
    spec = chart(figure)
    assert "http" not in json.dumps(spec)
    assert {param["name"] for param in spec["params"]} == {"chosen", "columns"}


def test_a_chart_holds_every_number_in_percent(full_report: Report) -> None:
    figure = next(one for one in full_report.figures if one.slug == "leaderboard")
    values = {row["series"]: row["value"] for row in numbers(chart(figure))}
    assert values["router"] == pytest.approx(220 / 3)


def test_names_are_data_and_never_expressions(full_report: Report) -> None:
    figure = next(one for one in full_report.figures if one.slug == "corruption")
    renamed = replace(
        figure,
        frame=figure.frame.assign(series="evil", label="evil"),
        series=("evil",),
    )
    spec = chart(renamed)
    del spec["datasets"]
    places = [path for path, text in texts(spec) if "evil" in text]
    assert all(path[-2] in {"domain", "sort"} for path in places)
