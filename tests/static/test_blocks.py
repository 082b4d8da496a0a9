import time
from pathlib import Path

import numpy as np
import pytest

from distmerge.spec import Selection
from distmerge.static import blocks
from distmerge.static.blocks import Models, in_threads
from distmerge.static.files import model_files
from distmerge.threshold import Bits, Span, guessed
from tests.static.models import SHAPES, states, write


def test_blocks_hold_every_parameter_once(tmp_path: Path) -> None:
    base, tuned = write(tmp_path, states(1))
    with model_files([base, *tuned]) as (root, *others):
        every = Models(root, others).blocks()
    for name, shape in SHAPES.items():
        parts = [range(block.first, block.stop) for block in every if block.tensor == name]
        assert [index for part in parts for index in part] == list(range(int(np.prod(shape))))
    assert len(every) == len(SHAPES) + 1  # the largest tensor has two


def test_thresholds_are_those_of_sorting(tmp_path: Path) -> None:
    models = states(2)
    base, tuned = write(tmp_path, models)
    with model_files([base, *tuned]) as (root, *others):
        trim = Models(root, others).trim(Selection(0.3, "max"))
    for state, threshold in zip(models[1:], trim.thresholds, strict=True):
        row = np.concatenate([np.abs(state[name] - models[0][name]).reshape(-1) for name in SHAPES])
        assert threshold == np.sort(row)[-int(0.3 * len(row))]
    assert trim.aggregate == "max"


def test_large_models_are_sampled_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = states(1)
    base, tuned = write(tmp_path, models)
    sampled = []

    def seen(sample: Bits, share: float) -> Span:
        sampled.append(len(sample))
        return guessed(sample, share)

    monkeypatch.setattr(blocks, "_MOST_SAMPLED", 100)
    monkeypatch.setattr(blocks, "guessed", seen)
    with model_files([base, *tuned]) as (root, *others):
        Models(root, others).trim(Selection(0.3, "max"))
    assert sampled[0] <= 100 + len(SHAPES) + 1


def test_results_of_threads_are_in_order() -> None:
    def later(number: int) -> int:
        time.sleep(0.01 * (3 - number))
        return number

    assert in_threads(later, [1, 2, 3]) == [1, 2, 3]


def test_after_an_error_no_further_item_is_begun() -> None:
    begun = []

    def failing(number: int) -> None:
        begun.append(number)
        time.sleep(0.001)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        in_threads(failing, range(1000))
    assert len(begun) < 500
