"""Where the numbers come from, and the command that makes each of them again."""

import json
import shlex
from typing import TYPE_CHECKING, Any

from distmerge.report.content import Column, Omitted, Section, Table, number, percent, words
from distmerge.report.source import StudyResults
from distmerge.results import REFERENCES

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 1000
_EACH_SWEEP = "every sweep of the study measures it"


def provenance(results: StudyResults) -> Section | Omitted:
    """Give inputs, versions and a command for the runs of the leaderboard, then for all others."""
    title = "Provenance"
    ok = results.rows[results.rows["status"] == "ok"].drop_duplicates("run_id")
    if ok.empty:
        return Omitted(title, "no run ended well")
    ok = ok.set_index("run_id")
    chosen = [run_id for ids in results.chosen.values() for run_id in ids]
    others = results.runs.drop(index=chosen)
    others = others[~others["method"].isin(REFERENCES)]
    others = others.sort_values(["method", "accuracy"], ascending=[True, False])
    shown = others.head(MOST_ROWS)
    left_out = f", the first {MOST_ROWS}" * (len(shown) < len(others))
    tables = [_inputs(results, ok.iloc[0]), *([_chosen(ok.loc[chosen])] if chosen else [])]
    if len(shown):
        table = _runs(ok.loc[shown.index], shown, f"The {len(others)} other runs{left_out}")
        tables.append(table)
    sentences = (
        (
            "STUDY.yaml stands for the study's file: it says where checkpoints and data lie, which "
            "the rows do not. The command runs that one configuration again, under a study name "
            "of its own; equal files, versions and hardware give equal numbers."
        ),
        (
            "The model itself needs no second run: distmerge export RUN --storage "
            f"{shlex.quote(results.place)} --to model"
        ),
    )
    return Section("provenance", title, sentences, tuple(tables))


def command(row: "pd.Series[Any]", settings: list[str]) -> str:
    """Give the command that makes a run again."""
    method = str(row["method"])
    if method in REFERENCES:
        return _EACH_SWEEP
    stages = method.split("+")
    own = {
        name: _value(row[name])
        for name in settings
        if name.split(".", 1)[0] in stages and row[name] == row[name] and row[name] is not None
    }
    pipelines = json.dumps([{"stages": stages, "settings": own}])
    overrides = [
        f"study=again-{row.name}",
        f"seed={row['seed']}",
        "repeats=1",
        f"protocol={row['protocol']}",
        f"pipelines={pipelines}",
    ]
    return shlex.join(["distmerge", "sweep", "STUDY.yaml", *overrides])


def _value(value: Any) -> object:
    """Give a setting as its field takes it: a column of whole numbers with gaps is of floats."""
    plain = getattr(value, "item", lambda: value)()
    is_whole = isinstance(plain, float) and plain.is_integer() and abs(plain) < 2**53
    return int(plain) if is_whole else plain


def _settings(rows: "pd.DataFrame") -> list[str]:
    return [name for name in rows.columns if "." in name]


def _commands(rows: "pd.DataFrame") -> Column:
    settings = _settings(rows)
    found = (command(row, settings) for _, row in rows.iterrows())
    return Column("command", tuple(found), is_number=False, is_code=True)


def _inputs(results: StudyResults, row: "pd.Series[Any]") -> Table:
    digests = json.loads(row["checkpoint_digests"])
    tasks = list(results.tasks)
    names = tasks if len(tasks) == len(digests) else [str(i) for i in range(len(digests))]
    named = {"pretrained": row["base_digest"], **dict(zip(names, digests, strict=True))}
    return Table(
        f"What was merged: digests of the checkpoints; data {row['data_digest']}",
        (words("model", named), words("SHA-256, 16 digits", named.values())),
        is_folded=True,
    )


def _chosen(rows: "pd.DataFrame") -> Table:
    commits = rows["git_commit"].fillna("-")
    started = rows["started_at"].dt.strftime("%Y-%m-%d %H:%M")
    return Table(
        "The runs that the leaderboard shows",
        (
            words("method", rows["method"]),
            words("run", rows.index),
            Column("seed", tuple(map(str, rows["seed"]))),
            _commands(rows),
            words("started, UTC", started),
            Column("steps", tuple(map(str, rows["step"]))),
            Column("adapt images", tuple(f"{count:,}" for count in rows["adapt_images"])),
            Column(
                "memory, GB",
                tuple(number(size / 1e9, "{:.1f}") for size in rows["peak_memory_bytes"]),
            ),
            words("version", rows["package_version"]),
            words("commit", (str(commit)[:12] for commit in commits)),
            words("torch", rows["torch_version"]),
        ),
    )


def _runs(rows: "pd.DataFrame", measured: "pd.DataFrame", caption: str) -> Table:
    return Table(
        caption,
        (
            words("method", rows["method"]),
            words("run", rows.index),
            Column("seed", tuple(map(str, rows["seed"]))),
            Column("score", tuple(number(value, "{:.3f}") for value in measured["score"])),
            Column("accuracy, %", tuple(map(percent, measured["accuracy"]))),
            _commands(rows),
        ),
        is_folded=True,
    )
