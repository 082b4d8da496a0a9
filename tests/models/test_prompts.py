import json
from pathlib import Path

import pytest

from distmerge.errors import CheckpointError
from distmerge.models.prompts import read_prompts
from distmerge.spec import BENCHMARKS, ZeroShotHead


def head_of(templates: object, classes: object = None) -> ZeroShotHead:
    content = {"text": "clip.safetensors", "model": "ViT-B-32"}
    return ZeroShotHead.model_validate({**content, "templates": templates, "classes": classes})


def called(benchmark: str, *names: str) -> tuple[str, ...]:
    return read_prompts(head_of(benchmark), names).classes


COUNTS = {  # classes and templates, algorithms.md 1.3
    "SUN397": (397, 2),
    "Cars": (196, 8),
    "RESISC45": (45, 18),
    "EuroSAT": (10, 3),
    "SVHN": (10, 1),
    "GTSRB": (43, 3),
    "MNIST": (10, 1),
    "DTD": (47, 8),
}


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_every_benchmark_has_its_published_prompts(benchmark: str) -> None:
    classes, templates = COUNTS[benchmark]
    numbered = tuple(str(number) for number in range(classes))
    prompts = read_prompts(head_of(benchmark), numbered)
    assert (len(set(prompts.classes)), len(prompts.templates)) == (classes, templates)
    assert len(prompts.texts) == classes * templates


def test_texts_are_all_templates_class_by_class() -> None:
    prompts = read_prompts(head_of(["a {}", "the {}"]), ("red_fox", "owl"))
    assert prompts.texts == ["a red fox", "the red fox", "a owl", "the owl"]


@pytest.mark.parametrize(
    ("benchmark", "name", "spoken"),
    [
        ("EuroSAT", "SeaLake", "lake or sea"),
        ("EuroSAT", "forest", "forest"),
        ("MNIST", "7 - seven", "7"),
        ("SUN397", "apartment_building/outdoor", "apartment building outdoor"),
        ("RESISC45", "baseball_diamond", "baseball diamond"),
        ("Cars", "Ram C/V Cargo Van Minivan 2012", "Ram C/V Cargo Van Minivan 2012"),
        ("DTD", "polka-dotted", "polka-dotted"),
    ],
)
def test_a_class_is_called_as_published_where_its_data_set_names_it(
    benchmark: str, name: str, spoken: str
) -> None:
    assert called(benchmark, name) == (spoken,)


def test_a_benchmarks_templates_serve_other_classes() -> None:
    assert called("EuroSAT", "salt_marsh", "dune") == ("salt marsh", "dune")


@pytest.mark.parametrize(
    ("benchmark", "names", "problem"),
    [
        ("EuroSAT", ("SeaLake", "dune", "a_b"), r"published names for 2 of 3 \(dune, a_b\); list"),
        ("GTSRB", ("3", "14"), r"GTSRB has no published names for 2 of 2 \(3, 14\)"),
        ("GTSRB", tuple("0123456"), r"7 of 7 \(0, 1, 2, 3, 4, \.\.\.\); list under classes"),
    ],
)
def test_classes_of_which_only_some_have_published_names_are_listed(
    benchmark: str, names: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(CheckpointError, match=problem):
        called(benchmark, *names)
    assert read_prompts(head_of(benchmark, names), names).classes == names


def test_the_order_of_the_classes_is_the_datas() -> None:
    assert called("EuroSAT", "River", "AnnualCrop") == ("river", "annual crop land")


def test_numbers_are_published_names_if_all_classes_are_numbered() -> None:
    folders = sorted(f"{number:05d}" for number in range(43))
    assert called("GTSRB", *folders)[14] == "stop"


def test_lists_may_lie_in_files(tmp_path: Path) -> None:
    (tmp_path / "templates.txt").write_text("a {}.\n\nthe {}.\n")
    (tmp_path / "classes.json").write_text(json.dumps(["x", "y"]))
    head = head_of(str(tmp_path / "templates.txt"), str(tmp_path / "classes.json"))
    assert read_prompts(head, ("0", "1")) == (("x", "y"), ("a {}.", "the {}."))


@pytest.mark.parametrize("content", ["[", '{"a": 1}'])
def test_a_file_that_is_no_list_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "classes").write_text(content)
    with pytest.raises(CheckpointError, match=r"classes: .*cannot read it|got 1 names, expected 2"):
        read_prompts(head_of("MNIST", str(tmp_path / "classes")), ("0", "1"))


@pytest.mark.parametrize(
    ("templates", "classes", "problem"),
    [
        (["a photo"], None, "'a photo' has 0 times {}, expected once"),
        ([], None, "templates: got none"),
        ("MNISTS", None, "templates: neither one of SUN397, .* nor a file: MNISTS: cannot read"),
        ("MNIST", ["x"], "classes: got 1 names, expected 2"),
        ("MNIST", ["x", "x"], "classes: several are called x"),
        (["a", "{} {}"], ["x"], "'a' has 0 .*; .*has 2 times {}.*; classes: got 1 names"),
    ],
)
def test_what_does_not_fit_is_said_at_once(
    templates: object, classes: object, problem: str
) -> None:
    with pytest.raises(CheckpointError, match=problem):
        read_prompts(head_of(templates, classes), ("0", "1"))


def test_without_the_datas_names_only_what_is_given_is_checked() -> None:
    assert read_prompts(head_of("MNIST"), None).classes == ()
    with pytest.raises(CheckpointError, match="several are called x"):
        read_prompts(head_of("MNIST", ["x", "x"]), None)
