from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import distmerge
from distmerge.artefact import LoadedModel, Prediction, Unreadable
from distmerge.errors import ConfigError, DataError
from distmerge.methods.contract import Routed
from distmerge.tasks import decoded, preprocessed
from tests.sweep.exports import MERGED, ROUTED, Exports
from tests.world import TOWER


@pytest.fixture(scope="module")
def merged(exports: Exports) -> LoadedModel:
    return distmerge.load(exports.folders["weight_averaging+surgery"])


@pytest.fixture(scope="module")
def routed(exports: Exports) -> LoadedModel:
    return distmerge.load(exports.folders[ROUTED])


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """More pictures than one batch."""
    return np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8)


def test_a_model_says_what_it_is_in_a_line(merged: LoadedModel) -> None:
    said = "weight_averaging+surgery of alpha, beta, gamma"
    assert repr(merged) == f"LoadedModel({said}; {TOWER.backbone})"


def test_a_prediction_is_the_likeliest_class_and_its_probability(
    merged: LoadedModel, pixels: np.ndarray
) -> None:
    chances = merged.logits(pixels, "beta").softmax(dim=1)
    found = merged.predict(pixels, task="beta")
    assert [answer.label for answer in found] == [
        merged.classes["beta"][number] for number in chances.argmax(dim=1).tolist()
    ]
    expected = chances.max(dim=1).values.tolist()
    assert [answer.probability for answer in found] == pytest.approx(expected, abs=1e-6)
    assert {(answer.task, answer.weight) for answer in found} == {("beta", None)}


def test_paths_pictures_and_arrays_give_the_same_answers(
    merged: LoadedModel, pixels: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "picture.png"
    picture = Image.fromarray(pixels[0])
    picture.save(path)
    mixed = merged.logits([str(path), path, picture, pixels[0]], "alpha")
    assert torch.equal(mixed, mixed[:1].expand(4, -1))


@pytest.mark.parametrize("kind", ["path", "picture", "array"])
def test_a_single_picture_needs_no_list(
    kind: str, merged: LoadedModel, pixels: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(pixels[0]).save(path)
    one = {"path": str(path), "picture": Image.fromarray(pixels[0]), "array": pixels[0]}[kind]
    assert len(merged.predict(one, task="alpha")) == 1


def test_a_merged_model_has_to_be_told_the_task(merged: LoadedModel, pixels: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="told the task; tasks: alpha, beta, gamma"):
        merged.predict(pixels)


def test_an_unknown_task_is_refused(routed: LoadedModel, pixels: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="no such task: 'delta'; tasks: alpha, beta, gamma"):
        routed.logits(pixels, "delta")


def test_a_routed_model_answers_with_the_head_of_the_task_of_the_largest_weight(
    routed: LoadedModel, pixels: np.ndarray
) -> None:
    assert isinstance(routed.model, Routed)
    preprocess = TOWER.preprocess
    rows = preprocessed(np.stack([decoded(image, preprocess) for image in pixels]), preprocess)
    answers = routed.model.answers(rows)
    found = routed.predict(pixels)
    numbers = answers.routing.argmax(dim=1).tolist()
    assert [answer.task for answer in found] == [routed.tasks[number] for number in numbers]
    weights = answers.routing.max(dim=1).values.tolist()
    assert [answer.weight for answer in found] == pytest.approx(weights, abs=1e-6)
    heads = routed.model.heads
    for answer, features in zip(found, answers.features, strict=True):
        label = heads[answer.task](features[None]).argmax().item()
        assert answer.label == routed.classes[answer.task][int(label)]


def test_a_routed_model_may_be_told_the_task(routed: LoadedModel, pixels: np.ndarray) -> None:
    assert {answer.task for answer in routed.predict(pixels, task="gamma")} == {"gamma"}


@pytest.mark.parametrize("kind", [*MERGED, ROUTED])
def test_features_are_the_towers_for_every_picture(
    kind: str, exports: Exports, pixels: np.ndarray
) -> None:
    assert distmerge.load(exports.folders[kind]).features(pixels).shape == (40, 8)


def test_unreadable_pictures_are_named_all_at_once(
    merged: LoadedModel, pixels: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "text.png").write_text("no picture")
    names = [
        pixels[0],
        tmp_path / "text.png",
        str(tmp_path / "absent.png"),
        pixels[0].astype(float),
    ]
    with pytest.raises(DataError, match=r"3 of 4 [\s\S]*text.png[\s\S]*absent.png[\s\S]*picture 3"):
        merged.predict(names, task="alpha")


def test_readable_pictures_are_answered_beside_unreadable_ones(
    merged: LoadedModel, pixels: np.ndarray, tmp_path: Path
) -> None:
    found = list(merged.try_predict([tmp_path / "absent.png", pixels[0]], "alpha"))
    assert isinstance(found[0], Unreadable)
    assert isinstance(found[1], Prediction)


def test_nothing_but_unreadable_pictures_is_no_crash(merged: LoadedModel, tmp_path: Path) -> None:
    (found,) = merged.try_predict([tmp_path / "absent.png"], "alpha")
    assert isinstance(found, Unreadable)


def test_no_picture_at_all_is_an_error(merged: LoadedModel) -> None:
    with pytest.raises(DataError, match="no pictures were given"):
        merged.features([])
