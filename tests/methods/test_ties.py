import pytest
import torch

from distmerge.coordinator import merged_bytes, recipe_bytes
from distmerge.spec import ModelFiles, Value
from distmerge.taskvectors import Selection, merge, selected
from tests.coordinator.sessions import config_of, merged_by, session_of


@pytest.mark.parametrize("aggregate", ["sum", "mean", "max"])
def test_it_merges_the_selected_task_vectors(world: ModelFiles, aggregate: str) -> None:
    session = session_of(world)
    settings: dict[str, Value] = {"ties.scaling": 0.7, "ties.density": 0.3}
    settings["ties.aggregate"] = aggregate
    model = merged_by(session, config_of(settings, "ties")).model
    thinned = selected(session.vectors, Selection(0.3, aggregate))  # type: ignore[arg-type]
    total = session.vectors.base + 0.7 * thinned.vectors.sum(dim=0)
    torch.testing.assert_close(model.weights, total, rtol=1e-5, atol=1e-6)


def test_a_recipe_rebuilds_the_model_from_the_plain_task_vectors(world: ModelFiles) -> None:
    import safetensors.torch

    session = session_of(world)
    config = config_of({"ties.density": 0.3, "ties.aggregate": "mean", "ties.scaling": 1.0}, "ties")
    model = merged_by(session, config).model
    state = safetensors.torch.load(merged_bytes(recipe_bytes(model), session.vectors, {}))
    assert torch.equal(session.vectors.layout.flatten(state), model.weights)
    assert torch.equal(model.weights, merge(model.vectors, model.coefficients))
