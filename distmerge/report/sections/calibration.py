"""Whether models know when they err."""

import numpy as np
import pandas as pd

from distmerge.report.content import Column, Figure, Omitted, Section, Table, number, shares, words
from distmerge.report.sections.robustness import CLEAN, curve, with_clean
from distmerge.report.source import StudyResults

_IDEAL = "as confident as right"


def calibration(results: StudyResults) -> Section | Omitted:
    """Give how far confidence is from accuracy, and what uncertainty tells."""
    title = "Calibration and uncertainty"
    values = with_clean(results, "ece")
    if values.empty or values[CLEAN].isna().all():
        return Omitted(title, "no run has calibration errors")
    num_merged = sum(method in results.series for method in values.index)
    table = Table(
        "Calibration error (ECE, 15 bins) of the largest probability, mean of the tasks",
        (
            words("method", values.index),
            *(
                shares(f"{name}, %", values[name].tolist(), num_merged=num_merged, lowest=True)
                for name in values
            ),
        ),
        num_merged=num_merged,
    )
    name = "calibration error, %"
    figure = curve(
        "calibration", "How far confidence is from accuracy", values, results.series, name
    )
    sentences = ["0 means that a model which says 80 % is right 80 % of the time; less is better."]
    diagrams = [
        *_reliability(results, "calibration", "the largest probability"),
        *_reliability(results, "uncertainty", "1 - uncertainty"),
    ]
    if not diagrams:
        sentences.append("Reliability diagrams were not kept by these runs.")
    told = _uncertainty(results)
    if told:
        sentences.append(
            "AUROC: how often a wrong answer is less certain than a right one; 0.5 is a guess, "
            "1 is perfect."
        )
    else:
        sentences.append("No method says how uncertain it is, so there is no table of that.")
    return Section("calibration", title, tuple(sentences), (figure, table, *diagrams, *told))


def _uncertainty(results: StudyResults) -> list[Table]:
    errors = with_clean(results, "uncertainty_ece")
    ranks = with_clean(results, "uncertainty_auroc")
    methods = [str(name) for name in errors[CLEAN].dropna().index]
    return [
        Table(
            f"What the uncertainty of {method} tells, mean of the tasks",
            (
                words("images", errors.columns),
                shares("calibration error of 1 - uncertainty, %", errors.T[method].tolist()),
                Column("AUROC", tuple(number(v, "{:.3f}") for v in ranks.T[method].tolist())),
            ),
        )
        for method in methods
    ]


def _reliability(results: StudyResults, kind: str, confidence: str) -> list[Figure]:
    """Give how often models are right that are so sure, on clean images of all tasks."""
    key = f"{kind}.report"
    found = {m: own.tensors[key] for m, own in results.pictures.items() if key in own.tensors}
    if not found:
        return []
    rows = [
        {"series": method, "part": "", "x": 100 * float(sure), "value": 100 * float(right)}
        for method, bins in found.items()
        for count, sure, right in bins
        if count
    ]
    ideal = [{"series": _IDEAL, "part": "", "x": end, "value": end} for end in (0.0, 100.0)]
    count = min(map(len, found.values()))
    ends = [f"{100 * i / count:.0f} to {100 * (i + 1) / count:.0f}" for i in range(count)]
    table = Table(
        f"Accuracy where {confidence} lies in a range, and the number of images",
        (
            words(f"{confidence}, %", ends),
            *(Column(method, tuple(map(_bin, bins[:count]))) for method, bins in found.items()),
        ),
        is_folded=True,
    )
    return [
        Figure(
            slug=f"reliability-{kind}",
            title=f"Reliability: accuracy by {confidence}, clean images of all tasks",
            kind="curves",
            frame=pd.DataFrame([*ideal, *rows]),
            x=f"{confidence}, mean of a bin, %",
            y="accuracy, %",
            says="One line per method, 15 bins; below the dotted line a model is too sure.",
            series=results.series,
            table=table,
        )
    ]


def _bin(found: np.ndarray) -> str:
    count, _, right = found
    return f"{number(100 * float(right), '{:.1f}')} ({int(count):,})" if count else "-"
