import pytest
from pydantic import ValidationError

from distmerge.methods import HYPERS
from distmerge.methods.adaptation import Checked, CoefficientAdaptation


def test_the_defaults_are_the_preset_of_the_paper() -> None:
    hyper = CoefficientAdaptation()
    assert (hyper.steps, hyper.batches, hyper.batch_size) == (500, 2, 16)
    assert (hyper.lr, hyper.init, hyper.projection) == (1e-3, 0.3, "clamp")
    assert (hyper.entropy, hyper.keep) == ("plain", "last")


def test_a_step_draws_all_its_batches() -> None:
    assert CoefficientAdaptation(batches=3, batch_size=8).images_per_step == 24


def test_patience_may_be_zero_but_not_less() -> None:
    assert Checked().patience == 0
    with pytest.raises(ValidationError, match="patience"):
        Checked(patience=-1)


@pytest.mark.parametrize(
    "method", ["adamerging", "adamerging_pp", "surgery", "tinting", "bd_merging"]
)
def test_every_method_that_learns_is_checked(method: str) -> None:
    assert issubclass(HYPERS[method], Checked)


@pytest.mark.parametrize("field", ["lr", "steps", "batch_size", "batches", "check_every"])
def test_what_must_be_positive_is(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        CoefficientAdaptation.model_validate({field: 0})
