import torch

from distmerge.run import Session
from distmerge.spec import ModelFiles, Value
from distmerge.taskvectors import Selection, selected
from tests.coordinator.sessions import config_of, merged_by, session_of

STEPS = {"adamerging_pp.batch_size": 8}


def start(session: Session, **values: Value) -> torch.Tensor:
    """Give the weights of AdaMerging++ before any step that moves them."""
    named = {f"adamerging_pp.{key}": value for key, value in values.items()}
    still = {**STEPS, "adamerging_pp.steps": 1, "adamerging_pp.lr": 1e-30, **named}
    return merged_by(session, config_of(still, "adamerging_pp")).model.weights


def test_at_the_start_it_is_ties(world: ModelFiles) -> None:
    session = session_of(world)
    ties = config_of({"ties.scaling": 0.3, "ties.density": 0.2}, "ties")
    assert torch.equal(start(session, density=0.2), merged_by(session, ties).model.weights)


def test_it_adapts_the_selected_task_vectors(world: ModelFiles) -> None:
    session = session_of(world)
    config = config_of(
        {**STEPS, "adamerging_pp.steps": 10, "adamerging_pp.lr": 0.01}, "adamerging_pp"
    )
    model = merged_by(session, config).model
    assert torch.equal(model.vectors.vectors, selected(session.vectors, Selection(0.2)).vectors)
    moved = (model.coefficients - 0.3).abs()
    assert moved.max() > 0.05


def test_it_stops_where_agreement_no_longer_rises(world: ModelFiles) -> None:
    reckless: dict[str, Value] = {
        "steps": 50,
        "lr": 3.0,
        "projection": "none",
        "check_every": 1,
        "patience": 3,
    }
    settings = {**STEPS, **{f"adamerging_pp.{key}": value for key, value in reckless.items()}}
    assert merged_by(session_of(world), config_of(settings, "adamerging_pp")).steps < 50


def test_with_everything_kept_and_one_sign_it_is_adamerging(world: ModelFiles) -> None:
    session = session_of(world)
    signs_agree = session.vectors.vectors.abs()
    plain = {"adamerging.steps": 5, "adamerging.batch_size": 8}
    thinned = {"adamerging_pp.steps": 5, "adamerging_pp.density": 1.0, **STEPS}
    from tests.coordinator.sessions import with_vectors

    agreed = with_vectors(
        session,
        type(session.vectors)(
            session.vectors.tasks, session.vectors.layout, session.vectors.base, signs_agree
        ),
    )
    one = merged_by(agreed, config_of(plain, "adamerging")).model
    other = merged_by(agreed, config_of(thinned, "adamerging_pp")).model
    assert torch.equal(one.coefficients, other.coefficients)
