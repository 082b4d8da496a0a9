"""What can be asked of a model that was merged in this process."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from distmerge import load
from distmerge.api import Merged, Models
from distmerge.artefact import LoadedModel
from distmerge.errors import ConfigError
from distmerge.methods.contract import MergedModel
from distmerge.methods.surgery.stage import LowRankCorrection
from distmerge.models import Head
from tests.world import TASK_NAMES, TOWER


def test_coefficients_have_the_names_of_tensors_and_tasks(models: Models) -> None:
    table = models.merge({"task_arithmetic": {"scaling": 0.4}}).coefficients
    assert [*table.columns] == [*TASK_NAMES[:3]]
    assert "visual.conv1.weight" in table.index or "conv1.weight" in table.index
    assert np.allclose(table, 0.4)


def test_only_a_routed_model_has_no_table_of_coefficients(merged: Merged) -> None:
    if not merged.description.routed:
        assert merged.coefficients.shape == (len(merged.model.vectors.layout.segments), 3)
        return
    with pytest.raises(ConfigError, match="bd_merging weighs the task vectors image by image"):
        merged.coefficients  # noqa: B018  # it is a property


def test_accuracy_stands_beside_the_individual_models(models: Models) -> None:
    table = models.merge("ties").accuracy
    assert [*table.columns] == ["clean", "L1", "individual"]
    assert [*table.index] == [*TASK_NAMES[:3], "mean"]


def test_answers_are_those_of_the_saved_model_to_the_last_bit(
    models: Models, tmp_path: Path
) -> None:
    size = TOWER.preprocess.size
    pictures = [*np.random.default_rng(0).integers(0, 256, (20, size, size, 3), dtype=np.uint8)]
    merged = models.merge(["weight_averaging", {"surgery": {"steps": 3}}])
    saved = load(merged.save(tmp_path / "model"))
    assert torch.equal(merged.features(pictures), saved.features(pictures))
    kept, read = (aligned(found).logits(pictures, "beta") for found in (merged, saved))
    assert torch.equal(kept, read)
    assert_close(saved.logits(pictures, "beta"), read)


def aligned(found: LoadedModel) -> LoadedModel:
    """Give the model with small tensors where torch would put them.

    They are used where they lie in their files, and how a product of matrices is rounded depends
    on the address of its factors.
    """
    assert isinstance(found.model, MergedModel)
    heads = {
        name: Head(head.weight.clone(), head.bias.clone(), head.center.clone(), head.normalised)
        for name, head in found.model.heads.items()
    }
    corrections = {
        name: LowRankCorrection(**{k: tensor.clone() for k, tensor in own.state().items()})
        for name, own in found.model.corrections.items()
    }
    return replace(found, model=replace(found.model, heads=heads, corrections=corrections))


def test_a_cell_that_ends_with_a_merge_shows_one_line(models: Models) -> None:
    assert re.fullmatch(
        r"Merged\(ties of alpha, beta, gamma; accuracy 0\.\d{3}\)", repr(models.merge("ties"))
    )
    assert repr(models) == "Models(alpha, beta, gamma)"


def test_a_folder_that_is_there_is_left_alone(models: Models, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is there already; choose another folder"):
        models.merge("ties").save(tmp_path)
