import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import distmerge
from distmerge.errors import CheckpointError
from distmerge.methods.contract import MergedModel, Routed
from distmerge.models import load_state, save_state
from distmerge.run import Session
from distmerge.spec import ModelFiles
from tests.coordinator.sessions import learned_by, session_of
from tests.sweep.exports import KINDS, MERGED, ROUTED, Exports


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world, "adapt")


@pytest.fixture
def folder(exports: Exports, tmp_path: Path) -> Path:
    """A routed model's folder that a test may damage."""
    return Path(shutil.copytree(exports.folders[ROUTED], tmp_path / "model"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_model_answers_bit_for_bit_as_the_run_did(
    kind: str, exports: Exports, session: Session
) -> None:
    model = distmerge.load(exports.folders[kind])
    original = learned_by(session, exports.configs[kind]).model
    for task in session.material.tasks:
        pixels = np.array(task.report.samples.array)
        images = task.report.samples.batch(
            np.arange(len(pixels)), session.material.config.preprocess
        )
        assert torch.equal(model.logits(pixels, task.name), original.logits(images, task.name))


@pytest.mark.parametrize("kind", MERGED)
def test_a_merged_models_tower_is_the_runs_bit_for_bit(
    kind: str, exports: Exports, session: Session
) -> None:
    loaded = distmerge.load(exports.folders[kind]).model
    original = learned_by(session, exports.configs[kind]).model
    assert isinstance(loaded, MergedModel)
    assert isinstance(original, MergedModel)
    assert torch.equal(loaded.weights, original.weights)
    assert loaded.own.keys() == original.own.keys()
    assert loaded.corrections.keys() == original.corrections.keys()


def test_a_routed_models_state_and_vectors_are_the_runs_bit_for_bit(
    exports: Exports, session: Session
) -> None:
    loaded = distmerge.load(exports.folders[ROUTED]).model
    original = learned_by(session, exports.configs[ROUTED]).model
    assert isinstance(loaded, Routed)
    assert torch.equal(loaded.vectors.vectors, session.vectors.vectors)
    found, expected = loaded.state(), original.state()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert loaded.settings() == original.settings()


def test_a_folder_needs_nothing_from_elsewhere(folder: Path) -> None:
    code = (
        "import sys, distmerge; model = distmerge.load(sys.argv[1]); "
        "import numpy as np; model.predict(np.zeros((1, 16, 16, 3), np.uint8)); "
        "print('ray' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
    assert done.stdout.split() == ["False"]


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, distmerge; print(*{'torch', 'ray', 'open_clip', 'numpy'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.split() == []


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        distmerge.lode  # noqa: B018  # that is the point


def test_missing_task_vectors_of_a_tensor_are_named(folder: Path) -> None:
    path = folder / "vectors.safetensors"
    state = load_state(path)
    save_state(path, {name: tensor for name, tensor in state.items() if name != "proj"})
    with pytest.raises(CheckpointError, match=r"proj: got nothing, expected \(3, 16, 8\)"):
        distmerge.load(folder)


def test_heads_that_do_not_fit_are_named_all_at_once(folder: Path) -> None:
    for task in ("alpha", "beta"):
        path = folder / f"heads/{task}.safetensors"
        path.write_bytes(safetensors.torch.save({"weight": torch.zeros(2, 8)}))
    with pytest.raises(CheckpointError, match=r"alpha[\s\S]*beta"):
        distmerge.load(folder)


def test_a_tensor_of_another_shape_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    save_state(path, {**load_state(path), "proj": torch.zeros(2, 2)})
    with pytest.raises(CheckpointError, match=r"proj: got shape \(2, 2\), expected \(16, 8\)"):
        distmerge.load(folder)
