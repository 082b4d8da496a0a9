import json
from dataclasses import replace
from pathlib import Path

from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.sweep.export.folder import described, model_files
from distmerge.sweep.export.rebuild import found, rebuilt
from tests.sweep.exports import ROUTED, Exports


def test_accuracies_are_those_of_the_rows(exports: Exports) -> None:
    store = RunStore(str(exports.storage), HYPERS)
    rows = store.finished("tiny")
    description = described(rebuilt(store, found(store, exports.runs[ROUTED])))
    assert list(description.accuracy) == ["clean", "L1", "task withheld", "individual"]
    assert list(description.accuracy["clean"]) == ["alpha", "beta", "gamma", "mean"]
    individual = rows[(rows["method"] == "individual") & (rows["metric"] == "accuracy")]
    clean = individual[individual["suite"] == "clean"].set_index("task")["value"]
    assert description.accuracy["individual"] == clean.to_dict()


def test_the_card_comes_last_since_it_tells_the_sizes(exports: Exports) -> None:
    store = RunStore(str(exports.storage), HYPERS)
    names = [name for name, _ in model_files(rebuilt(store, found(store, exports.runs["ties"])))]
    assert names[0] == "model.safetensors"
    assert names[-2:] == ["recipe.json", "README.md"]


def test_every_tensor_file_carries_the_recipe(exports: Exports) -> None:
    folder = Path(exports.folders[ROUTED])
    recipe = json.loads((folder / "recipe.json").read_text())
    for path in folder.rglob("*.safetensors"):
        content = path.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        assert json.loads(header["__metadata__"]["distmerge"]) == recipe


def test_a_run_outside_of_a_checkout_has_no_commit(exports: Exports) -> None:
    store = RunStore(str(exports.storage), HYPERS)
    run = rebuilt(store, found(store, exports.runs["ties"]))
    installed = replace(run, rows=run.rows.assign(git_commit=float("nan")))
    assert described(installed).git_commit is None
