"""What a study compares, and how a search over it is cut short."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag

from distmerge.spec.hyper import Count, Distribution, Frozen, Value, parse_setting

Setting = Annotated[Any, BeforeValidator(parse_setting)]
Stages = Annotated[tuple[str, ...], Field(min_length=1)]


class Pipeline(Frozen):
    """Stages run one after the other, each on the model that the one before gives."""

    stages: Stages
    """Method names, first to last."""
    trials: Count = 1
    """Runs to spend: the first uses the defaults, the others search. A grid needs no number."""
    settings: dict[str, Setting] = Field(default_factory=dict)
    """`method.field`: a value fixes it, `{uniform: [low, high]}` and the like search it;
    `{uniform: [low, high], points: 5}` searches so many values that lie evenly."""

    @property
    def name(self) -> str:
        """The stages joined by ``+``; the partition key of the results table."""
        return "+".join(self.stages)

    @property
    def alternatives(self) -> "tuple[Pipeline, ...]":
        """What one search chooses among: this pipeline alone."""
        return (self,)

    def fixed(self) -> dict[str, Value]:
        """Give the settings with one value."""
        return {k: v for k, v in self.settings.items() if not isinstance(v, Distribution)}

    def searched(self) -> dict[str, Distribution]:
        """Give the settings with a range."""
        return {k: v for k, v in self.settings.items() if isinstance(v, Distribution)}


class AnyOf(Frozen):
    """Pipelines that share one search: every trial chooses one, then its hyperparameters."""

    any_of: tuple[Stages, ...] = Field(min_length=2)
    """The stages of every pipeline."""
    trials: Count = 1
    """Runs to spend on all of them: the first ones use each pipeline's defaults."""
    settings: dict[str, Setting] = Field(default_factory=dict)
    """As a pipeline's; of every pipeline that has the method."""

    @property
    def name(self) -> str:
        """The pipelines' names, joined by ``|``."""
        return "|".join(pipeline.name for pipeline in self.alternatives)

    @property
    def alternatives(self) -> tuple[Pipeline, ...]:
        """What the search chooses among."""
        return tuple(
            Pipeline(
                stages=stages,
                trials=self.trials,
                settings={k: v for k, v in self.settings.items() if k.split(".", 1)[0] in stages},
            )
            for stages in self.any_of
        )


def _form(value: object) -> str:
    is_group = isinstance(value, AnyOf) or (isinstance(value, dict) and "any_of" in value)
    return "(group)" if is_group else "(pipeline)"


# One form is chosen before it is checked, so that errors speak of the form that was meant.
Searched: TypeAlias = Annotated[
    Annotated[AnyOf, Tag("(group)")] | Annotated[Pipeline, Tag("(pipeline)")],
    Discriminator(_form),
]

Sampler: TypeAlias = Literal["tpe", "random", "grid", "nsga2"]
Objective: TypeAlias = Literal["score", "cost"]


class Halving(Frozen):
    """Asynchronous successive halving (ASHA): runs that fall behind end early.

    After ``first`` optimiser steps, and again whenever the steps have grown by ``reduction``, a
    run takes its label-free score on adapt images and goes on if that is among the best
    1 / ``reduction`` of those that arrived there so far. Nobody waits for anybody, so with several
    runs at a time their order decides who is ended early.

    Source: Li et al., arXiv:1810.05934.
    """

    first: Count
    """Optimiser steps before the first look."""
    reduction: Annotated[int, Field(ge=2, le=100)] = 3
    """One of so many runs goes on."""

    def is_rung(self, step: int) -> bool:
        """Whether a run takes a look after so many steps."""
        rung = self.first
        while rung < step:
            rung *= self.reduction
        return rung == step
