"""Train the evidential head on cached features, then the router through the routed forward."""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float64
from torch import Tensor

from distmerge.methods.bd_merging import BDMerging
from distmerge.methods.bd_merging.evidence import (
    EvidentialHead,
    calibrated_offset,
)
from distmerge.methods.bd_merging.model import RoutedModel, budget_bytes, routed_weights
from distmerge.methods.bd_merging.objective import Objective, head_loss
from distmerge.methods.bd_merging.pool import Pool, adapt_pool
from distmerge.methods.bd_merging.router import initial_router, standardised
from distmerge.methods.contract import MergedModel, Model, Problem, RoutedPlan, Scope
from distmerge.models import Head, routed_features
from distmerge.taskvectors import contract, merge, merge_groups


def build(hyper: BDMerging, model: MergedModel, scope: Scope) -> RoutedPlan:
    """Plan both phases. Source: arXiv:2603.03920; algorithms.md 3.8, and 3.9 for its open points.

    Raises:
        ConfigError: an alias names a class that is not there.
    """
    pool = adapt_pool(model, scope, hyper.router_input)
    evidence = initial_evidence(hyper, model, pool)
    first = Problem(
        name="evidential head",
        parameters=(evidence.weight,),
        steps=hyper.steps,
        lr=hyper.head_lr,
        backward=_head_backward(hyper, pool, evidence, scope.seed),
    )
    second = _routed if hyper.router == "mlp" else _static
    problem, result = second(hyper, model, scope, pool, evidence)
    return RoutedPlan((first, problem), result)


def initial_evidence(hyper: BDMerging, model: MergedModel, pool: Pool) -> EvidentialHead:
    """Give the head that speaks as the tasks' heads do, at the wanted median uncertainty."""
    plain = EvidentialHead.of(merged_heads(model), hyper.aliases, hyper.evidence_cap)
    logits = plain.logits(pool.features)
    offset = calibrated_offset(logits, plain.num_classes, hyper.median_uncertainty)
    return replace(plain, weight=plain.weight.requires_grad_(), offset=offset)


def merged_heads(model: MergedModel) -> dict[str, Head]:
    """Give the heads of the tasks that are merged, in their order."""
    return {task: model.heads[task] for task in model.vectors.tasks}


def _head_backward(
    hyper: BDMerging, pool: Pool, evidence: EvidentialHead, seed: int
) -> Callable[[int], float]:
    def backward(step: int) -> float:
        places = pool.places(seed, step, hyper.batch_size)
        loss = head_loss(hyper, evidence.alpha(pool.features[places]))
        loss.backward()
        return loss.item()

    return backward


def _routed(
    hyper: BDMerging, model: MergedModel, scope: Scope, pool: Pool, evidence: EvidentialHead
) -> tuple[Problem, Callable[[], Model]]:
    """Give the router's problem, and the model that routes image by image."""
    vectors, width = model.vectors, pool.tokens.shape[1]
    columns = len(merge_groups(vectors.layout, hyper.grouping).names)
    router = initial_router(vectors.tasks, columns, width, hyper.hidden, scope.seed)
    router = standardised(router, pool.tokens) if hyper.router_norm == "standard" else router
    router = router.learning(vectors.base.device)
    objective = Objective(hyper, pool, evidence, merged_heads(model))
    weights = routed_weights(vectors, hyper.grouping)

    def backward(step: int) -> float:
        drawn = pool.draw(scope.seed, step, hyper.batch_size)
        features = routed_features(
            model.tower.config,
            weights,
            router(pool.tokens[drawn.places]),
            drawn.images,
            budget_bytes=budget_bytes(hyper.budget_mb, drawn.images.device),
            recompute=hyper.recompute,
        )
        loss = objective(features, drawn)
        loss.backward()
        return loss.item()

    def current() -> RoutedModel:
        frozen = replace(evidence, weight=evidence.weight.detach())
        return RoutedModel(
            model.tower,
            vectors,
            model.heads,
            hyper.grouping,
            router.frozen(),
            frozen,
            hyper.router_input,
            hyper.budget_mb,
        )

    extra = (evidence.weight,) if hyper.train_head == "both" else ()
    parameters = (*router.parameters, *extra)
    return _problem(hyper, scope, "router", parameters, backward, current), current


def _static(
    hyper: BDMerging, model: MergedModel, scope: Scope, pool: Pool, evidence: EvidentialHead
) -> tuple[Problem, Callable[[], Model]]:
    """Give the problem of coefficients that all images share, learned with the same loss."""
    vectors, groups = model.vectors, merge_groups(model.vectors.layout, hyper.grouping)
    raw = torch.full((len(vectors.tasks), len(groups.names)), hyper.init, dtype=torch.float64)
    objective = Objective(hyper, pool, evidence, merged_heads(model))

    def spread() -> Float64[Tensor, "task segment"]:
        return groups.spread(raw.clamp(0, 1))

    def backward(step: int) -> float:
        drawn = pool.draw(scope.seed, step, hyper.batch_size)
        weights = merge(vectors, spread()).requires_grad_()
        features = model.tower.features(vectors.layout.unflatten(weights), drawn.images)
        loss = objective(features, drawn)
        loss.backward()
        assert weights.grad is not None
        reached = ((raw >= 0) & (raw <= 1)).double()
        raw.grad = groups.gather(contract(vectors, weights.grad).cpu()) * reached
        return loss.item()

    def current() -> MergedModel:
        return model.merged(spread())

    extra = (evidence.weight,) if hyper.train_head == "both" else ()
    return _problem(hyper, scope, "coefficients", (raw, *extra), backward, current), current


def _problem(
    hyper: BDMerging,
    scope: Scope,
    name: str,
    parameters: tuple[Tensor, ...],
    backward: Callable[[int], float],
    current: Callable[[], Model],
) -> Problem:
    return Problem(
        name=name,
        parameters=parameters,
        steps=hyper.steps,
        lr=hyper.lr,
        backward=backward,
        keep=hyper.keep,
        check_every=hyper.check_every,
        score=lambda: scope.agreement(current(), hyper.check_images),
    )
