"""One study's report: what to know first, then its sections."""

from collections.abc import Iterator

from distmerge.report.content import Omitted, Report, Section, duration, percent
from distmerge.report.render import SELECTED_BY
from distmerge.report.sections import SECTIONS
from distmerge.report.source import StudyResults, read_study
from distmerge.results import INPUTS

_MOST_NAMES = 12


def study_report(root: str, study: str | None = None) -> Report:
    """Give the report of a study, from its Parquet files and the recipes beside them alone.

    Args:
        root: folder, or URL such as ``s3://bucket/prefix``.
        study: may be left out where the dataset holds one.

    Raises:
        ConfigError: there is no such study, or several and none is named.
        ResultsError: there is no such dataset, or a file of it is unreadable.
    """
    results = read_study(root, study)
    made = [section(results) for section in SECTIONS]
    return Report(
        study=results.name,
        headline=tuple(_headline(results)),
        facts=tuple(_facts(results).items()),
        cautions=tuple(_cautions(results)),
        series=results.series,
        sections=tuple(part for part in made if isinstance(part, Section)),
        omitted=tuple(part for part in made if isinstance(part, Omitted)),
    )


def _headline(results: StudyResults) -> Iterator[str]:
    merged = results.usable[~results.usable["reference"]]
    if merged.empty:
        yield "No merged model: no run of a merging method ended well."
        return
    best = merged.iloc[0]
    spread = (
        ""
        if best["spread"] != best["spread"]
        else f"\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{percent(best['spread'])}"
    )
    yield (
        f"{best['method']} is the most accurate of {len(merged)} merging methods: "
        f"{percent(best['accuracy'])}{spread}\N{NO-BREAK SPACE}% "
        f"in the mean of {len(results.tasks)} tasks."
    )
    others = results.usable.set_index("method")["accuracy"]
    references = {"individual": "the tasks' own models", "pretrained": "the pretrained model"}
    known = [
        f"{references[m]} {percent(others[m])}\N{NO-BREAK SPACE}%"
        for m in references
        if m in others.index
    ]
    if known:
        yield f"For comparison: {', '.join(known)}."
    by = SELECTED_BY.get(str(best["criterion"]), str(best["criterion"]))
    if merged["criterion"].notna().any():
        yield f"Each method's settings were chosen on other images, by {by}."


def _facts(results: StudyResults) -> dict[str, str]:
    runs = results.rows.drop_duplicates("run_id")
    counts = {status: int((runs["status"] == status).sum()) for status in ("ok", "error", "pruned")}
    words = {"ok": "ended well", "error": "failed", "pruned": "pruned"}
    one = runs.sort_values("started_at").iloc[-1]
    seeds = sorted(set(runs["seed"]))
    return {
        "runs": ", ".join(f"{n} {words[status]}" for status, n in counts.items() if n),
        "tasks": _some(list(results.tasks)) or str(one["num_tasks"]),
        "protocol": ", ".join(sorted(runs["protocol"].dropna().unique())),
        "backbone": ", ".join(sorted(runs["backbone"].dropna().unique())),
        "seeds": _some([str(seed) for seed in seeds]),
        "time of all runs": duration(float(results.board["total_s"].sum())),
        "last run": f"{one['started_at']:%Y-%m-%d %H:%M} UTC",
        "distmerge": ", ".join(sorted(runs["package_version"].dropna().unique())),
        "results": results.place,
    }


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" * (len(names) > _MOST_NAMES)
    return ", ".join(names[:_MOST_NAMES]) + more


def _cautions(results: StudyResults) -> Iterator[str]:
    board = results.board
    differing = [name for name in INPUTS if board[name].nunique() > 1]
    if differing:
        yield f"The runs differ in {', '.join(differing)}; their numbers do not compare."
    for method, said in zip(board["method"], board["collapse"], strict=True):
        if said:
            yield f"{method} may have collapsed. {said}"
    failed = int(board["failed"].sum())
    if failed:
        yield f"{failed} runs failed; their messages are under “Failed and pruned runs”."
    if results.usable["seeds"].max() == 1:
        yield "One seed: small differences may be chance."
