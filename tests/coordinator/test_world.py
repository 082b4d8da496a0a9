import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from distmerge.coordinator import (
    TaskWorker,
    checked_device,
    found_source,
    load_material,
    load_vectors,
    placed,
    source_digests,
    with_digests,
    with_head_files,
)
from distmerge.errors import CapacityError, CheckpointError, ConfigError, DataError
from distmerge.models import load_state, save_state
from distmerge.run import Session
from distmerge.spec import ModelFiles, WholeData, ZeroShotHead, load_tower_config
from tests.coordinator.sessions import session_of, source_of
from tests.models.clips import written_clip
from tests.sweep.headers import write_sparse
from tests.tasks.pictures import samples_of, write_folder
from tests.world import TOWER, arrays_of

WIDE = TOWER.model_copy(update={"width": 512})  # 25 MB a file


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


def test_the_material_is_what_the_files_hold(session: Session, world: ModelFiles) -> None:
    material = session.material
    assert material.config == load_tower_config(world.tower) == TOWER
    assert [task.name for task in material.tasks] == list(material.heads)
    assert [len(task.classes) for task in material.tasks] == [3, 4, 5]
    assert material.task("beta") is material.tasks[1]


def test_heads_of_the_wrong_size_are_listed_together(world: ModelFiles) -> None:
    alpha, beta, gamma = world.tasks
    swapped = (
        alpha.model_copy(update={"head": beta.head}),
        beta.model_copy(update={"head": alpha.head}),
        gamma,
    )
    with pytest.raises(CheckpointError, match="heads:") as caught:
        load_material(source_of(world.model_copy(update={"tasks": swapped})))
    message = str(caught.value)
    assert "task alpha:" in message
    assert "task beta:" in message
    assert "task gamma:" not in message
    assert "weight: got shape (3, 8), expected (4, 8)" in message


def test_a_zero_shot_head_becomes_a_file_and_the_others_stay(
    session: Session, world: ModelFiles, tmp_path: Path
) -> None:
    clip = written_clip(tmp_path)
    texts = ZeroShotHead(text=clip.text, model=clip.model, templates="a {}")
    alpha, *others = world.tasks
    tasks = (alpha.model_copy(update={"head": texts}), *others)
    files = world.model_copy(update={"tasks": tasks})
    source = replace(source_of(files), cache=tmp_path / "images")
    with pytest.raises(ConfigError, match=r"task alpha: the zero-shot head of .* is no file yet"):
        source_digests(source, session.material)
    made = with_head_files(source, session.material.tasks)
    assert made.files.tasks[0].head_file.parent == tmp_path / "heads"
    assert made.files.tasks[1:] == tuple(others)
    assert with_head_files(made, session.material.tasks) is made
    head = load_material(source).heads["alpha"]
    shutil.rmtree(tmp_path / "heads")  # as on another node
    assert torch.equal(head.weight, load_material(made).heads["alpha"].weight)


def test_the_vectors_lead_from_the_base_to_every_model(session: Session, world: ModelFiles) -> None:
    vectors = load_vectors(source_of(world), session.material.tower)
    assert vectors.tasks == ("alpha", "beta", "gamma")
    for row, task in zip(vectors.vectors, world.tasks, strict=True):
        tuned = vectors.layout.flatten(load_state(task.checkpoint))
        torch.testing.assert_close(vectors.base + row, tuned, rtol=0, atol=1e-6)


LOADED = """
import sys
from pathlib import Path
from distmerge.coordinator import Source, load_vectors
from distmerge.models import Tower
from distmerge.spec import ImageCounts, ModelFiles, load_tower_config

def kilobytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

files = ModelFiles.model_validate_json(Path(sys.argv[1]).read_text())
tower = Tower(load_tower_config(files.tower))
before = kilobytes("VmRSS:")
bank = load_vectors(Source(files, ImageCounts(), False), tower)
held = bank.base.nbytes + bank.vectors.nbytes
print(1024 * (kilobytes("VmHWM:") - before) - held)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
@pytest.mark.parametrize("num_tasks", [2, 8])
def test_loading_holds_the_bank_and_one_tensor_however_many_the_models(
    num_tasks: int, tmp_path: Path
) -> None:
    files = write_sparse(tmp_path, WIDE, num_tasks=num_tasks)
    (tmp_path / "files.json").write_text(files.model_dump_json())
    command = [sys.executable, "-c", LOADED, str(tmp_path / "files.json")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) < files.base.stat().st_size


def test_material_on_the_device_where_it_is_gives_the_same_answers(session: Session) -> None:
    material = placed(session.material, torch.device("cpu"))
    features = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    assert material.tasks is session.material.tasks
    for name, head in session.material.heads.items():
        assert torch.equal(material.heads[name](features), head(features))


def test_the_cpu_is_always_there() -> None:
    assert checked_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:3"])
def test_a_gpu_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(CapacityError, match=rf"device {name} was granted.*ray\.actor_gpus"):
        checked_device(name)


def test_a_device_of_an_unknown_name_is_refused() -> None:
    with pytest.raises(CapacityError, match="got device 'gpu', expected cpu, cuda or cuda:NUMBER"):
        checked_device("gpu")


def test_what_the_driver_found_is_the_same_for_a_worker(copied: ModelFiles) -> None:
    source = source_of(copied)
    material = load_material(source)
    again = load_material(found_source(source, material))
    assert [task.found for task in again.tasks] == [task.found for task in material.tasks]


def test_a_worker_with_other_data_than_the_driver_stops(copied: ModelFiles) -> None:
    source = source_of(copied)
    known = found_source(source, load_material(source))
    path = arrays_of(copied.tasks[0]) / "report.images.npy"
    np.save(path, np.zeros_like(np.load(path)))
    with pytest.raises(DataError, match=r"not the driver's(.|\n)*task alpha, report: digest"):
        load_material(known)


def test_decoded_data_are_not_listed_again(copied: ModelFiles, tmp_path: Path) -> None:
    pictures = write_folder(tmp_path / "pictures", samples_of(60))
    data = WholeData(path=str(pictures), classes=("cat", "dog", "emu"))
    alpha = copied.tasks[0].model_copy(update={"data": data})
    source = source_of(copied.model_copy(update={"tasks": (alpha, *copied.tasks[1:])}))
    known = found_source(source, load_material(source))
    shutil.rmtree(pictures)
    assert load_material(known).tasks[0].found == known.found["alpha"]  # type: ignore[index]  # set above


@pytest.mark.parametrize("changed", ["tower", "head", "checkpoint"])
def test_a_worker_with_other_files_than_the_driver_stops(changed: str, copied: ModelFiles) -> None:
    source = with_digests(source_of(copied))
    TaskWorker(source, ["alpha"])
    task = copied.tasks[0]
    paths = {"tower": copied.tower, "head": task.head_file, "checkpoint": task.checkpoint}
    if changed == "tower":
        copied.tower.write_text(copied.tower.read_text() + " ")
    else:
        state = load_state(paths[changed])
        save_state(paths[changed], {name: tensor + 1e-6 for name, tensor in state.items()})
    message = rf"not those that the driver read(.|\n)*{paths[changed].name}: digest \w+, expected"
    with pytest.raises(CheckpointError, match=message):
        TaskWorker(source, ["alpha"])
