"""Train the evidential head and the router on cached facts, then on through the routed forward."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from distmerge.methods.bd_merging import BDMerging
from distmerge.methods.bd_merging.evidence import (
    EvidentialHead,
    calibrated_offset,
)
from distmerge.methods.bd_merging.model import (
    Reader,
    RoutedModel,
    budget_bytes,
    low_rank_of,
    routed_weights,
    router_reader,
    vision_transformer,
)
from distmerge.methods.bd_merging.objective import Objective, head_loss
from distmerge.methods.bd_merging.pool import Pool, adapt_pool
from distmerge.methods.bd_merging.router import Router, identity_loss, initial_router, standardised
from distmerge.methods.bd_merging.views import drawn_views, view_tokens
from distmerge.methods.contract import MergedModel, Model, Problem, RoutedPlan, Scope
from distmerge.methods.entropy import effective, reached
from distmerge.models import Head, routed_features
from distmerge.taskvectors import contract, merge, merge_groups


class Learned(NamedTuple):
    """Tensors to learn, and the rate of each."""

    parameters: tuple[Tensor, ...]
    rates: tuple[float, ...]


def build(hyper: BDMerging, model: MergedModel, scope: Scope) -> RoutedPlan:
    """Plan all phases. Source: arXiv:2603.03920; algorithms.md 3.8, and 3.9 for its open points.

    Raises:
        ConfigError: an alias names a class that is not there.
    """
    pool = adapt_pool(model, scope, hyper.router_input)
    evidence = initial_evidence(hyper, model, pool)
    first = Problem(
        name="evidential head",
        parameters=(evidence.weight,),
        steps=hyper.head_steps,
        lr=hyper.head_lr,
        backward=_head_backward(hyper, pool, evidence, scope.seed),
    )
    second = _routed if hyper.router == "mlp" else _static
    problems, result = second(hyper, model, scope, pool, evidence)
    return RoutedPlan((first, *problems), result)


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
) -> tuple[tuple[Problem, ...], Callable[[], Model]]:
    """Give the router's problems, and the model that routes image by image."""
    vectors, width = model.vectors, pool.tokens.shape[1]
    columns = len(merge_groups(vectors.layout, hyper.grouping).names)
    router = initial_router(vectors.tasks, columns, width, hyper.hidden, scope.seed)
    router = standardised(router, pool.tokens) if hyper.router_norm == "standard" else router
    router = router.learning(vectors.base.device)
    read = router_reader(model.tower, vectors, hyper.router_input)
    objective = Objective(hyper, pool, evidence, merged_heads(model))
    found = low_rank_of(model.tower, vectors, hyper.rank_error)
    computed = replace(vectors, base=vectors.base.to(vectors.compute_type(scope.precision)))
    weights = routed_weights(computed, hyper.grouping, found)

    def backward(step: int) -> float:
        drawn = pool.draw(scope.seed, step, hyper.batch_size)
        scores = router.scores(pool.tokens[drawn.places])
        features = routed_features(
            vision_transformer(model.tower),
            weights,
            scores.softmax(dim=1),
            drawn.images,
            budget_bytes=budget_bytes(hyper.budget_mb, drawn.images.device),
            recompute=hyper.recompute,
        )
        loss = objective(features, drawn)
        if hyper.identity:
            loss = loss + hyper.identity * identity_loss(scores)
        loss.backward()
        return loss.item()

    def current() -> RoutedModel:
        frozen = replace(evidence, weight=evidence.weight.detach())
        return RoutedModel(
            model.tower,
            vectors,
            model.heads,
            found,
            hyper.grouping,
            router.frozen(),
            frozen,
            hyper.router_input,
            read,
            hyper.budget_mb,
        )

    warm_up = Problem(
        name="router warm-up",
        parameters=router.parameters,
        steps=hyper.warm_up,
        lr=hyper.head_lr,
        backward=_identity_backward(hyper, pool, router, read, scope.seed),
    )
    learned = _learned(hyper, router.parameters, evidence)
    problem = _problem(hyper, scope, learned, backward, current)
    return (warm_up, replace(problem, name="router", memory=(objective.threshold,))), current


def _identity_backward(
    hyper: BDMerging, pool: Pool, router: Router, read: Reader, seed: int
) -> Callable[[int], float]:
    @cache
    def views() -> Float[Tensor, "view image width"]:
        return view_tokens(pool, read, hyper.views, seed)

    def backward(step: int) -> float:
        places = pool.places(seed, step, hyper.batch_size)
        drawn = drawn_views(1 + hyper.views, pool.images, hyper.batch_size, seed, step)
        loss = identity_loss(router.scores(views()[drawn.to(places.device), places]))
        loss.backward()
        return loss.item()

    return backward


def _static(
    hyper: BDMerging, model: MergedModel, scope: Scope, pool: Pool, evidence: EvidentialHead
) -> tuple[tuple[Problem, ...], Callable[[], Model]]:
    """Give the problem of coefficients that all images share, learned with the same loss."""
    vectors, groups = model.vectors, merge_groups(model.vectors.layout, hyper.grouping)
    raw = torch.full((len(vectors.tasks), len(groups.names)), hyper.init, dtype=torch.float64)
    objective = Objective(hyper, pool, evidence, merged_heads(model))
    dtype = vectors.compute_type(scope.precision)

    def coefficients() -> Float64[Tensor, "task group"]:
        return effective(raw, "clamp")

    def spread() -> Float64[Tensor, "task segment"]:
        return groups.spread(coefficients())

    def backward(step: int) -> float:
        drawn = pool.draw(scope.seed, step, hyper.batch_size)
        weights = merge(vectors, spread(), torch.empty_like(vectors.base, dtype=dtype))
        leaf, images = weights.requires_grad_(), drawn.images.to(dtype)
        features = model.tower.features(vectors.layout.unflatten(leaf), images)
        loss = objective(features.to(vectors.base.dtype), drawn)
        loss.backward()
        assert leaf.grad is not None
        gradient = contract(vectors, leaf.grad.to(vectors.base.dtype)).cpu()
        raw.grad = groups.gather(gradient) * reached(raw, "clamp")
        return loss.item()

    def current() -> MergedModel:
        return model.merged(spread())

    learned = _learned(hyper, (raw,), evidence)
    problem = replace(
        _problem(hyper, scope, learned, backward, current),
        memory=(objective.threshold,),
        coefficients=coefficients,
        groups=groups.names,
    )
    return (problem,), current


def _learned(hyper: BDMerging, own: tuple[Tensor, ...], evidence: EvidentialHead) -> Learned:
    """Give what the last phase learns, each at its rate."""
    extra = (evidence.weight,) if hyper.train_head == "both" else ()
    rates = (hyper.lr,) * len(own) + (hyper.head_lr,) * len(extra)
    return Learned((*own, *extra), rates)


def _problem(
    hyper: BDMerging,
    scope: Scope,
    learned: Learned,
    backward: Callable[[int], float],
    current: Callable[[], Model],
) -> Problem:
    return Problem(
        name="coefficients",
        parameters=learned.parameters,
        steps=hyper.steps,
        lr=learned.rates,
        backward=backward,
        checks=hyper,
        score=lambda: scope.agreement(current(), hyper.check_images),
        images=hyper.images_per_step * len(scope.adapt),
    )
