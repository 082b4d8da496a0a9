"""Every ablation of BD-Merging is a setting: it runs end to end, and every number is finite."""

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest

from distmerge.run import Session, run
from distmerge.spec import ModelFiles, Value
from tests.coordinator.sessions import config_of, ignored, session_of
from tests.methods.bd import QUICK

Settings = Mapping[str, Value]

# What the loss is made of, with and without a router.
OBJECTIVES: dict[str, Settings] = {
    "all of it": {},
    "w/o ADS": {"split": "radius"},
    "w/o L_Dis": {"eta": 0.0},
    "w/o Div": {"div": False},
    "w/o Sharp": {"sharp": "one"},
    "Sharp as it stands": {"sharp": "literal"},
    "Sharp by 1 - p": {"sharp": "sigmoid"},
    "nu as it stands": {"inverse": "literal"},
    "w/o L_Inv": {"gamma": 0.0},
    "w/o KL": {"kl_weight": 0.0},
    "whole KL": {"kl": "full"},
    "KL of misleading evidence": {"kl": "misleading"},
    "neighbours among all images": {"pool": "bank"},
    "neighbours by merged features": {"feature_space": "merged"},
    "entropy over all classes": {"entropy_over": "unified"},
    "the head goes on learning": {"train_head": "both"},
    "the head goes on learning, over all images": {"train_head": "both", "pool": "bank"},
    "task level": {"grouping": "global"},
    "block level": {"grouping": "per_block"},
    "layer level": {"grouping": "per_tensor"},
    "one image per task": {"batch_size": 1},
    "more neighbours than images": {"min_neighbours": 1000},
    "more neighbours than images, over all images": {"min_neighbours": 1000, "pool": "bank"},
    "everything literal": {"sharp": "literal", "inverse": "literal", "kl": "full"},
}
# What only a router has.
ROUTERS: dict[str, Settings] = {
    "mean tokens": {"router_input": "mean"},
    "embedded patches": {"router_input": "embed"},
    "tokens as they are": {"router_norm": "none"},
    "recomputed blocks": {"recompute": True},
    "rows one by one": {"budget_mb": 1},
}
ABLATIONS: dict[str, Settings] = {
    **OBJECTIVES,
    **ROUTERS,
    **{f"w/o router, {name}": {"router": "none", **s} for name, s in OBJECTIVES.items()},
}


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


@pytest.mark.parametrize("ablation", ABLATIONS.values(), ids=ABLATIONS)
def test_an_ablation_gives_finite_metrics_of_every_task(
    session: Session, ablation: Settings
) -> None:
    settings = {f"bd_merging.{k}": v for k, v in {**QUICK, **ablation}.items()}
    _, record = run(session, config_of(settings, "bd_merging"), ignored)
    assert {metric.task for metric in record.metrics} >= {*session.vectors.tasks, "mean"}
    assert [m for m in record.metrics if not math.isfinite(m.value)] == []
    assert record.step == (12 if ablation.get("router") == "none" else 18)


@pytest.mark.parametrize("router", ["mlp", "none"])
def test_steps_in_bfloat16_lead_close_to_those_in_float32(session: Session, router: str) -> None:
    config = config_of(
        {f"bd_merging.{k}": v for k, v in {**QUICK, "router": router}.items()}, "bd_merging"
    )
    rounded = replace(session.material, precision="bfloat16")
    scores = []
    for material in (session.material, rounded):
        _, record = run(replace(session, material=material), config, ignored)
        scores.append({(m.suite, m.task, m.metric): m.value for m in record.metrics})
    assert scores[0] != scores[1]
    name = ("clean", "mean", "accuracy")
    assert scores[1][name] == pytest.approx(scores[0][name], abs=0.1)
