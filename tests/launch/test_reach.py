from pathlib import Path

import pytest

from distmerge.launch import Package, View, absolute_outputs, elsewhere, unseen
from distmerge.spec import ModelFiles, Study
from tests.sweep.studies import study_of

STUDY = Path("jobs/mine.yaml")
EMPTY = Package(Path("job.zip"), frozenset({str(STUDY)}))
FAR = View(EMPTY)


def moved(files: ModelFiles, folder: str) -> ModelFiles:
    """Give the models as a cluster has them, in a folder that is not here."""
    text = files.model_dump_json().replace(str(files.base.parent), folder)
    return ModelFiles.model_validate_json(text)


def far(files: ModelFiles) -> Study:
    """Give a study whose results lie where every machine can write."""
    return study_of(files, Path("ignored")).model_copy(update={"storage": "s3://b/results"})


def test_everything_that_a_cluster_cannot_see_is_named_at_once(
    world: ModelFiles, tmp_path: Path
) -> None:
    study = study_of(world, tmp_path, features=str(tmp_path / "features"))
    found = "\n".join(unseen(study, Path("/home/me/mine.yaml"), FAR))
    named = ("models.tower:", "models.base:", "alpha.checkpoint:", "gamma.head:", "beta.data:")
    assert [name for name in (*named, "storage:", "features:") if name not in found] == []
    assert f"{world.base} is on this machine alone; give its path on the cluster" in found


def test_files_of_the_cluster_and_urls_are_fine(world: ModelFiles) -> None:
    study = far(moved(world, "/home/ray/absent"))
    assert list(unseen(study, STUDY, FAR)) == []
    assert len(elsewhere(study)) == 2 + 3 * len(world.tasks)


def test_a_shared_folder_is_the_same_everywhere(world: ModelFiles, tmp_path: Path) -> None:
    study = study_of(world, tmp_path / "results")
    shared = View(EMPTY, shared=(world.base.parent, tmp_path))
    assert list(unseen(study, STUDY, shared)) == []


def test_a_cluster_on_this_machine_sees_its_files(world: ModelFiles, tmp_path: Path) -> None:
    study = study_of(world, tmp_path / "results")
    assert list(unseen(study, STUDY, View(EMPTY, here=True))) == []
    assert elsewhere(study) == []


def test_a_local_storage_is_refused_with_what_to_give(world: ModelFiles) -> None:
    study = study_of(moved(world, "/home/ray/absent"), Path("results"))
    [problem] = unseen(study, STUDY, FAR)
    assert problem.startswith("storage: results is a path on this machine, where the cluster")
    assert "storage=s3://BUCKET/storage" in problem


@pytest.mark.parametrize("here", [False, True])
def test_a_relative_path_must_travel(world: ModelFiles, here: bool) -> None:
    study = far(moved(world, "models"))
    found = list(unseen(study, STUDY, View(EMPTY, here=here)))
    assert len(found) == 2 + 3 * len(world.tasks)
    assert "models.base: models/base.safetensors does not travel" in found[1]


def test_a_study_file_outside_the_folder_is_refused(tmp_path: Path, world: ModelFiles) -> None:
    study = far(moved(world, "/home/ray/absent"))
    (file := tmp_path / "mine.yaml").touch()
    [problem] = unseen(study, file, FAR)
    assert problem.startswith(f"the study: {file} is on this machine alone")


def test_data_by_role_and_by_glob_are_looked_at(world: ModelFiles, tmp_path: Path) -> None:
    (tmp_path / "a-1.parquet").touch()
    data = {"adapt": "s3://b/a", "select": f"{tmp_path}/a-*.parquet", "report": f"{tmp_path}/no-*"}
    files = moved(world, "/home/ray/absent").model_dump(mode="json")
    files["tasks"][0]["data"] = data
    study = far(ModelFiles.model_validate(files))
    [problem] = unseen(study, STUDY, FAR)
    assert problem.startswith(f"alpha.data.select: {tmp_path}/a-*.parquet is on this machine alone")


@pytest.mark.parametrize("features", ["s3://b/features", "/shared/features"])
def test_a_relative_output_is_named_by_absolute_path(world: ModelFiles, features: str) -> None:
    study = study_of(world, Path("results"), features=features)
    assert absolute_outputs(study) == [f"storage={Path.cwd() / 'results'}"]
