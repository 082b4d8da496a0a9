import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch

from distmerge.errors import CheckpointError
from distmerge.static import OutputType, Recipe, merge_files, static_recipe
from tests.static.models import by_the_bank, states, write

ARITHMETIC = static_recipe("task_arithmetic", ["task_arithmetic.scaling=0.4"])
TIES = [
    ["ties.density=0.2"],
    ["ties.density=0.3", "ties.scaling=1", "ties.aggregate=mean"],
    ["ties.density=0.1", "ties.aggregate=max"],
    ["ties.density=1"],
    ["ties.density=0.2", "ties.trim_rule=reference"],
    ["ties.density=0.2", "ties.text_parameters=100000"],
    ["ties.density=1e-7"],
]
RECIPES = [
    static_recipe("weight_averaging"),
    ARITHMETIC,
    *(static_recipe("ties", settings) for settings in TIES),
]
ULP = 2.0**-23  # the bank rounds at every task, to float32; weights are below 8


@pytest.mark.parametrize("grid", [0.0, 0.125], ids=["all differ", "many equal"])
@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_files_merge_as_in_a_sweep(recipe: Recipe, grid: float, tmp_path: Path) -> None:
    models = states(4, grid=grid)
    base, tuned = write(tmp_path, models)
    merge_files(base, tuned, tmp_path / "merged.safetensors", recipe)
    found = load_torch(tmp_path / "merged.safetensors")
    expected = by_the_bank(models, recipe)
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=16 * ULP)


def test_the_order_of_tasks_changes_nothing(tmp_path: Path) -> None:
    base, tuned = write(tmp_path, states(3, grid=0.125))
    merge_files(base, tuned, tmp_path / "a", RECIPES[2])
    merge_files(base, tuned[::-1], tmp_path / "b", RECIPES[2])
    there, back = load_file(tmp_path / "a"), load_file(tmp_path / "b")
    for name in there:
        np.testing.assert_array_equal(there[name], back[name])


@pytest.mark.parametrize("source", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "base"])
def test_types_are_converted_as_torch_does(
    source: torch.dtype, dtype: OutputType, tmp_path: Path
) -> None:
    models = [{k: torch.tensor(v).to(source) for k, v in state.items()} for state in states(2)]
    paths = [tmp_path / f"{i}.safetensors" for i in range(3)]
    for path, state in zip(paths, models, strict=True):
        safetensors.torch.save_file(state, path)
    merge_files(paths[0], paths[1:], tmp_path / "whole", ARITHMETIC)
    merge_files(paths[0], paths[1:], tmp_path / "merged", ARITHMETIC, dtype)
    wanted = source if dtype == "base" else getattr(torch, dtype)
    whole, merged = load_torch(tmp_path / "whole"), load_torch(tmp_path / "merged")
    for name, tensor in whole.items():
        torch.testing.assert_close(merged[name], tensor.to(wanted), rtol=0, atol=0)
    exact = models[0]["bias"].float() + 0.4 * sum(
        state["bias"].float() - models[0]["bias"].float() for state in models[1:]
    )
    torch.testing.assert_close(whole["bias"], exact)


def test_buffers_are_copied_and_the_metadata_say_what_was_merged(tmp_path: Path) -> None:
    models = states(2)
    for state in models:
        state["steps"] = np.array([3, 4])
        state["none"] = np.zeros((0, 2), np.int32)
    base, tuned = write(tmp_path, models, activation="quick_gelu", source="somewhere")
    merge_files(base, tuned, tmp_path / "merged", RECIPES[2])
    found = load_file(tmp_path / "merged")
    np.testing.assert_array_equal(found["steps"], [3, 4])
    assert found["none"].shape == (0, 2)
    with safetensors.safe_open(tmp_path / "merged", framework="numpy") as file:
        metadata = file.metadata()
    assert metadata["activation"] == "quick_gelu"
    assert metadata["format"] == "pt"
    assert "source" not in metadata
    merge = json.loads(metadata["merge"])
    assert merge["method"] == "ties"
    assert merge["settings"]["density"] == 0.2
    assert [model["name"] for model in merge["tuned"]] == ["task0.safetensors", "task1.safetensors"]


@pytest.mark.parametrize("recipe", RECIPES[1:3], ids=str)
@pytest.mark.parametrize("index", [0, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_none_names_its_file_and_leaves_nothing(
    recipe: Recipe, index: int, value: float, tmp_path: Path
) -> None:
    models = states(2)
    models[index]["weight"][123, 45] = value
    base, tuned = write(tmp_path, models)
    name = [base, *tuned][index].name
    with pytest.raises(CheckpointError, match=f"{name}: weight: holds NaN or infinity"):
        merge_files(base, tuned, tmp_path / "merged", recipe)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_value_too_large_for_the_type_is_an_error(dtype: OutputType, tmp_path: Path) -> None:
    models = [{"weight": np.full(3, 3.4e38, np.float32)}, {"weight": np.zeros(3, np.float32)}]
    base, tuned = write(tmp_path, models)
    with pytest.raises(CheckpointError, match=r"weight: got values .* cannot hold; choose --dtype"):
        merge_files(
            base,
            tuned,
            tmp_path / "merged",
            static_recipe("task_arithmetic", ["task_arithmetic.scaling=0"]),
            dtype,
        )


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    base, tuned = write(tmp_path, states(1))
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        merge_files(base, tuned, tmp_path / "file" / "merged", ARITHMETIC)


def test_torch_is_not_loaded(tmp_path: Path) -> None:
    for name in ("model", "tuned"):
        save_file({"weight": np.ones(3, np.float32)}, tmp_path / name)
    command = f"""
import sys
from distmerge.cli import main
model, tuned = {str(tmp_path / "model")!r}, {str(tmp_path / "tuned")!r}
main(["merge", "--base", model, "--method", "ties", "-o", model + ".merged", tuned])
print(*sorted({{"torch", "ray", "scipy", "pandas"}} & sys.modules.keys()))
"""
    done = subprocess.run(
        [sys.executable, "-c", command], check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[1:] == [""]


def test_memory_does_not_grow_with_the_number_of_models(tmp_path: Path) -> None:
    save_file({"weight": np.zeros(3_000_000, np.float32)}, tmp_path / "base")
    for index in range(12):
        save_file({"weight": np.arange(3e6, dtype=np.float32)}, tmp_path / f"task{index}")
    # Not ru_maxrss: it begins with the memory of the process that starts another.
    command = """
import re, sys
from pathlib import Path
from distmerge.static import merge_files, static_recipe
folder, count = Path(sys.argv[1]), int(sys.argv[2])
tasks = [folder / f"task{index}" for index in range(count)]
merge_files(folder / "base", tasks, folder / "merged", static_recipe("ties"))
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text()).group(1))
"""
    few, many = (
        int(
            subprocess.check_output(
                [sys.executable, "-c", command, str(tmp_path), str(count)], text=True
            )
        )
        for count in (2, 12)
    )
    assert few < 200_000  # KiB
    assert many - few < 40_000  # ten models more have 120 MB


@pytest.mark.parametrize(("others", "expected"), [(-1, [-1, -2, -2]), (1, [1, 2, 2])])
def test_values_that_cancel_out_take_the_majoritys_sign(
    others: int, expected: list[int], tmp_path: Path
) -> None:
    rows = [[0, 0, 0], [1, others, others], [-1, others, others]]
    models = [{"weight": np.array(row, np.float32)} for row in rows]
    base, tuned = write(tmp_path, models)
    recipe = static_recipe("ties", ["ties.density=1", "ties.scaling=1"])
    merge_files(base, tuned, tmp_path / "merged", recipe)
    np.testing.assert_array_equal(load_file(tmp_path / "merged")["weight"], expected)


@pytest.mark.parametrize("recipe", RECIPES[1:3], ids=str)
def test_a_merged_variance_below_zero_becomes_zero(recipe: Recipe, tmp_path: Path) -> None:
    name = "bn1.running_var"
    models = [{name: np.array([1, 1], np.float32)}]
    models += [{name: np.array([-9, 2], np.float32)} for _ in range(3)]
    base, tuned = write(tmp_path, models)
    merge_files(base, tuned, tmp_path / "merged", recipe)
    low, high = load_file(tmp_path / "merged")[name]
    assert low == 0
    assert high >= 1


@pytest.mark.parametrize("recipe", RECIPES[1:3], ids=str)
def test_a_float64_beyond_float32_is_named_as_such(recipe: Recipe, tmp_path: Path) -> None:
    models = [{"weight": np.array([value, 1.0])} for value in (0.0, 1e300)]
    base, tuned = write(tmp_path, models)
    with pytest.raises(CheckpointError, match=r"task0.*NaN or infinity, or a value over float32's"):
        merge_files(base, tuned, tmp_path / "merged", recipe)
