from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from distmerge.errors import CheckpointError
from distmerge.static import merge_files, static_recipe
from tests.static.models import State, states, write


def refusal(base: Path, tuned: list[Path], output: Path) -> str:
    """Give the message of a merge that must not begin."""
    before = sorted(base.parent.iterdir())
    with pytest.raises(CheckpointError, match=r"models cannot be merged|checkpoints") as caught:
        merge_files(base, tuned, output, static_recipe("weight_averaging"))
    assert sorted(base.parent.iterdir()) == before
    return str(caught.value)


def test_all_tensors_that_do_not_fit_are_named_at_once(tmp_path: Path) -> None:
    models: list[State] = states(3)
    for state in models:
        state["steps"] = np.array([1])
    del models[1]["conv"]
    models[1]["extra"] = np.zeros(2, np.float32)
    models[2]["bias"] = np.zeros(8, np.float32)
    models[2]["scale"] = np.array(1)
    models[3]["steps"] = np.array([2])
    message = refusal(*write(tmp_path, models), tmp_path / "merged")
    for part in (
        "task0.safetensors: conv: missing",
        "task0.safetensors: extra: not in the base",
        "task1.safetensors: bias: got shape (8,), expected (9,)",
        "task1.safetensors: scale: got type I64, the base has F32",
        "task2.safetensors: steps: differs from the base's",
    ):
        assert part in message
    assert len(message.splitlines()) == 6


def test_models_of_other_activations_or_inputs_are_refused(tmp_path: Path) -> None:
    models = states(2)
    base, tuned = write(tmp_path, models, activation="quick_gelu", preprocess='{"size": 8}')
    other = tmp_path / "other"
    other.mkdir()
    _, (alike, _) = write(other, models, activation="QuickGELU", preprocess='{"size":8}')
    merge_files(base, [alike], tmp_path / "merged", static_recipe("weight_averaging"))
    _, (unlike, _) = write(other, models, activation="gelu", preprocess='{"size": 9}')
    message = refusal(base, [*tuned, unlike], tmp_path / "merged")
    assert "activation: quick_gelu in" in message
    assert 'preprocess: {"size": 8} in' in message


def test_files_that_cannot_be_read_are_named_together(tmp_path: Path) -> None:
    base, tuned = write(tmp_path, states(2))
    content = tuned[0].read_bytes()
    tuned[0].write_bytes(content[:-1])
    message = refusal(base, [*tuned, tmp_path / "none"], tmp_path / "merged")
    assert "task0.safetensors: not a readable safetensors file" in message
    assert "none: no such checkpoint" in message


def test_an_output_that_is_a_model_is_refused(tmp_path: Path) -> None:
    base, tuned = write(tmp_path, states(1))
    assert "is one of the models" in refusal(base, tuned, tuned[0])


def test_an_output_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    base, tuned = write(tmp_path, states(1))
    assert "is a folder" in refusal(base, tuned, tmp_path)


def test_nothing_to_merge_is_an_error(tmp_path: Path) -> None:
    base, _ = write(tmp_path, [{"steps": np.array([1])}])
    message = refusal(base, [], tmp_path / "merged")
    assert "expected at least one file beside the base" in message
    assert "holds no floating tensors" in message


def test_a_model_that_is_given_twice_or_as_its_own_base_is_refused(tmp_path: Path) -> None:
    base, (tuned,) = write(tmp_path, states(1))
    (tmp_path / "again").symlink_to(tuned)
    message = refusal(base, [tuned, tmp_path / "again", base], tmp_path / "merged")
    assert f"{tmp_path / 'again'}: is given more than once" in message
    assert f"{base}: is given more than once" in message
    assert len(message.splitlines()) == 3


def test_models_that_trained_for_other_numbers_of_steps_get_the_counts_of_the_base(
    tmp_path: Path,
) -> None:
    models: list[State] = states(2)
    for count, state in enumerate(models):
        state["bn1.num_batches_tracked"] = np.array(count)
    base, tuned = write(tmp_path, models)
    merge_files(base, tuned, tmp_path / "merged", static_recipe("weight_averaging"))
    assert load_file(tmp_path / "merged")["bn1.num_batches_tracked"] == 0


def test_who_wrote_a_file_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    base, _ = write(tmp_path, states(1))
    _, tuned = write(tmp_path / "other", states(1), format="np")
    merge_files(base, tuned, tmp_path / "merged", static_recipe("weight_averaging"))
