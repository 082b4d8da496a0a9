from pathlib import Path

import pytest

from distmerge.artefact.description import load_description
from distmerge.errors import CheckpointError
from tests.sweep.exports import KINDS, Exports
from tests.world import TOWER


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_says_what_made_it_and_what_it_holds(kind: str, exports: Exports) -> None:
    found = load_description(exports.folders[kind])
    assert found.method == kind
    assert found.run_id == exports.runs[kind]
    assert found.hyper == exports.configs[kind].values()
    assert found.classes["alpha"] == ("alpha 0", "alpha 1", "alpha 2")
    assert found.tower == TOWER
    files = {
        p.relative_to(exports.folders[kind]).as_posix() for p in exports.folders[kind].rglob("*")
    }
    assert files - {"heads"} == {*found.files, "recipe.json", "README.md"}


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("ties", {"coefficients"}),
        ("weight_averaging+surgery", {"coefficients", "corrections"}),
        ("tinting", {"coefficients", "own"}),
        ("tinting+surgery", {"coefficients", "corrections", "own"}),
        ("bd_merging", {"router", "vectors"}),
    ],
)
def test_a_folder_holds_the_parts_of_its_model(
    kind: str, parts: set[str], exports: Exports
) -> None:
    names = load_description(exports.folders[kind]).files
    found = {name.removesuffix(".safetensors") for name in names if "/" not in name}
    assert found == {"model", *parts}


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot read recipe.json .* `distmerge export`"):
        load_description(tmp_path)


def test_a_wrong_recipe_lists_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text('{"run_id": 3}')
    with pytest.raises(CheckpointError, match=r"run_id: Input should be.*[\s\S]*tasks: Field"):
        load_description(tmp_path)


def test_missing_files_are_named_all_at_once(exports: Exports, tmp_path: Path) -> None:
    text = (exports.folders["tinting"] / "recipe.json").read_text()
    (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"model.safetensors[\s\S]*heads/alpha.safetensors"):
        load_description(tmp_path)
