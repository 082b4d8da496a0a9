from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from distmerge.errors import ConfigError
from distmerge.spec import RayConfig, Study, Uniform, ZooModels, load_study
from tests.spec.hypers import HYPERS

STUDY = {
    "study": "demo",
    "models": {"zoo": "tiny"},
    "pipelines": [{"stages": ["learner"]}, {"stages": ["learner", "fixer"], "trials": 3}],
}
TASK = {"name": "a", "checkpoint": "a.safetensors", "head": "h.safetensors", "data": "a"}
MODELS = {"tower": "tower.json", "base": "base.safetensors"}


def load(folder: Path, content: object, overrides: Sequence[str] = ()) -> Study:
    path = folder / "study.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return load_study(path, overrides, HYPERS)


def test_a_short_study_is_filled_with_the_defaults(tmp_path: Path) -> None:
    study = load(tmp_path, STUDY)
    assert study.models == ZooModels(zoo="tiny")
    assert [pipeline.name for pipeline in study.pipelines] == ["learner", "learner+fixer"]
    assert (study.seed, study.protocol, study.ray) == (0, "disjoint", RayConfig())


def test_relative_paths_of_checkpoints_are_kept_as_written(tmp_path: Path) -> None:
    tasks = [TASK | {"name": name} for name in ("a", "b")]
    study = load(tmp_path, STUDY | {"models": MODELS | {"tasks": tasks}})
    assert not isinstance(study.models, ZooModels)
    assert study.models.base == Path("base.safetensors")


@pytest.mark.parametrize(
    ("override", "place", "value"),
    [
        ("seed=7", "seed", 7),
        ("ray=false", "ray", False),
        ("sanity=off", "sanity", "off"),
        ("storage=s3://bucket/a=b", "storage", "s3://bucket/a=b"),
        ("ray.actors=2", "ray", RayConfig(actors=2)),
    ],
)
def test_an_override_replaces_one_value(
    tmp_path: Path, override: str, place: str, value: object
) -> None:
    assert getattr(load(tmp_path, STUDY, [override]), place) == value


def test_a_plain_off_of_yaml_turns_sanity_off(tmp_path: Path) -> None:
    assert load(tmp_path, yaml.safe_dump(STUDY) + "sanity: off\n").sanity == "off"


def test_an_override_reaches_an_entry_of_a_list(tmp_path: Path) -> None:
    study = load(tmp_path, STUDY, ["pipelines.1.trials=9"])
    assert [pipeline.trials for pipeline in study.pipelines] == [1, 9]


def test_an_override_replaces_an_entry_of_a_list(tmp_path: Path) -> None:
    study = load(tmp_path, STUDY, ["pipelines.0={stages: [learner], trials: 4}"])
    assert study.pipelines[0].trials == 4


def test_an_override_of_a_setting_keeps_the_dot_in_its_name(tmp_path: Path) -> None:
    study = load(tmp_path, STUDY, ["pipelines.0.settings.learner.lr=0.1"])
    assert study.pipelines[0].settings == {"learner.lr": 0.1}
    assert study.pipelines[1].settings == {}


def test_an_override_can_give_a_range(tmp_path: Path) -> None:
    study = load(tmp_path, STUDY, ["pipelines.0.settings.learner.lr={uniform: [0.1, 0.2]}"])
    assert study.pipelines[0].settings == {"learner.lr": Uniform(0.1, 0.2)}


def test_of_two_overrides_of_one_key_the_last_holds(tmp_path: Path) -> None:
    assert load(tmp_path, STUDY, ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "override 'seed': expected key=value"),
        ("=1", "override '=1': expected key=value"),
        ("study.x=1", "there is nothing under 'study'"),
        ("study.x.y=1", "there is nothing under 'x'"),
        ("pipelines.7.trials=1", "'7' is no entry; expected 0 to 1"),
        ("pipelines.7={}", "'7' is no entry; expected 0 to 1"),
        ("pipelines.x.trials=1", "'x' is no entry; expected 0 to 1"),
        ("pipelines.-1.trials=1", "'-1' is no entry; expected 0 to 1"),
        ("pipelines.0.settings.learner.lr=5", "less than or equal to 1, got 5"),
        ("seed=[1", r"override 'seed=\[1': '\[1' is not YAML"),
        ("sede=1", "sede: unknown key; did you mean 'seed'?"),
    ],
)
def test_a_wrong_override_is_named(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, STUDY, [override])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocl": "disjoint"}, "protocl: unknown key; did you mean 'protocol'?"),
        ({"xyz": 1}, r"xyz: unknown key$"),
        ({"seed": "x"}, "seed: Input should be a valid integer.*, got 'x'"),
        ({"seed": -1}, "seed: Input should be greater than or equal to 0, got -1"),
        ({"block": 0}, "block: Input should be greater than 0, got 0"),
        (
            {"protocol": "both"},
            "protocol: Input should be 'disjoint' or 'transductive', got 'both'",
        ),
        ({"study": "a/b"}, "study: String should match pattern.*, got 'a/b'"),
        ({"images": {"adapt": 0}}, "images.adapt: Input should be greater than 0, got 0"),
        (
            {"models": {"zoo": "huge"}},
            r"yaml:\n  - models.zoo: Input should be 'tiny', 'mini', .* or 'text', got 'huge'$",
        ),
        ({"models": {"base": "b", "tasks": []}}, "models.tower: required, not given"),
        ({"ray": {"actor": 2}}, r"yaml:\n  - ray.actor: unknown key; did you mean 'actors'\?$"),
        ({"ray": True}, r"yaml:\n  - ray: Input should be False, got True$"),
        ({"ray": {"actor_gpus": -1}}, "actor_gpus: Input should be greater than or equal to 0"),
        ({"ray": {"timeout_s": ".inf"}}, "timeout_s: .*number"),
        ({"pipelines": []}, "pipelines: lists 0, expected 1 or more: one entry per merge"),
        ({"pipelines": [{"stages": []}]}, "pipelines.0.stages: lists 0, expected 1 or more: names"),
        ({"pipelines": [{"stages": "learner"}]}, "stages: got 'learner', expected a list: names"),
        ({"models": MODELS | {"tasks": [TASK]}}, "tasks: lists 1, expected 2 or more: one entry"),
        ({"models": MODELS | {"tasks": []}}, "models.tasks: lists 0, expected 2 or more"),
        (
            {"models": MODELS | {"tasks": None}},
            "models.tasks: got None, expected a list: one entry",
        ),
        ({"trials": 3}, r"yaml:\n  - trials: no key of this place; it belongs under pipelines$"),
        ({"trails": 3}, r"trails: unknown key; did you mean 'trials' under pipelines\?$"),
        ({"ray": {"storage": "s3"}}, r"ray.storage: no key of this place; it belongs at the top$"),
        (
            {"models": {"zoo": "tiny", "tower": "tower.json"}},
            r"yaml:\n  - models.tower: does not go with the other keys there$",
        ),
        (
            {"pipelines": [{"stages": ["learner"], "trails": 2}]},
            r"yaml:\n  - pipelines.0.trails: unknown key; did you mean 'trials'\?$",
        ),
        ({"pipelines": [{"trials": 2}]}, "pipelines.0.stages: required, not given"),
        ({"pipelines": [{"stages": ["learner"]}] * 2}, "pipelines appear twice: learner"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_place(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, STUDY | change)


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        (
            {"stages": ["lerner"]},
            "pipelines.0.stages: unknown method 'lerner'; known: fixer, learner",
        ),
        (
            {"stages": ["learner", "fixer", "fixer"]},
            "stages: 'fixer' appears twice; a method is run once in a pipeline",
        ),
        ({"stages": ["fixer"]}, "'fixer' cannot stand first: it needs a merge"),
        (
            {"stages": ["learner"], "settings": {"learner.foo": 1}},
            "pipelines.0.settings.learner.foo: no such field; fields: lr, steps, mode, clamp",
        ),
        (
            {"stages": ["learner"], "settings": {"fixer.rank": 1}},
            "'fixer.rank' is for no stage of learner; write METHOD.FIELD",
        ),
        (
            {"stages": ["learner"], "settings": {"learner.lr": 2}},
            "pipelines.0.settings.learner.lr: .*less than or equal to 1, got 2",
        ),
        (
            {"stages": ["learner"], "settings": {"learner.lr": {"uniform": [0.5, 3]}}},
            "pipelines.0.settings.learner.lr: .*less than or equal to 1, got 3",
        ),
        (
            {"stages": ["learner"], "settings": {"learner.mode": {"choice": ["fast", "odd"]}}},
            "pipelines.0.settings.learner.mode: .*got 'odd'",
        ),
        (
            {"stages": ["learner"], "settings": {"learner.lr": {"gauss": [0, 1]}}},
            r"pipelines.0.settings.learner.lr: unknown distribution 'gauss'; known: [a-z_, ]+$",
        ),
        (
            {"stages": ["learner"], "settings": {"learner.steps": {"uniform": [1, 5]}}},
            "pipelines.0.settings.learner.steps: .*valid integer",
        ),
        (
            {"any_of": [["learner"], ["lerner"]]},
            "pipelines.0.any_of.1: unknown method 'lerner'; known: fixer, learner",
        ),
        (
            {"any_of": [["learner"], ["learner", "fixer"]], "settings": {"other.x": 1}},
            r"'other.x' is for no stage of learner\|learner\+fixer",
        ),
        ({"any_of": [["learner"]]}, "pipelines.0.any_of: lists 1, expected 2 or more: the stages"),
        ({"any_of": [["learner"], []]}, "any_of.1: lists 0, expected 1 or more: the stages"),
        (
            {"stages": ["lerner", "fixer"]},
            r"yaml:\n  - pipelines.0.stages: unknown method 'lerner'; known: fixer, learner$",
        ),
    ],
)
def test_a_wrong_method_or_setting_is_named_with_its_place(
    tmp_path: Path, pipeline: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, STUDY | {"pipelines": [pipeline]})


def test_all_wrong_keys_and_values_are_listed_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"study\.yaml:\n") as caught:
        load(tmp_path, {"sed": 1, "study": "demo", "seed": "x", "block": 0})
    lines = str(caught.value).splitlines()[1:]
    assert [line.split(":")[0] for line in lines] == [
        "  - models",
        "  - pipelines",
        "  - seed",
        "  - block",
        "  - sed",
    ]


def test_all_wrong_methods_and_settings_are_listed_at_once(tmp_path: Path) -> None:
    pipelines = [
        {"stages": ["lerner"]},
        {"stages": ["learner"], "settings": {"learner.lr": 2, "learner.steps": 0}},
    ]
    with pytest.raises(ConfigError, match="unknown method") as caught:
        load(tmp_path, STUDY | {"pipelines": pipelines})
    lines = str(caught.value).splitlines()[1:]
    assert [line.split(": ")[0] for line in lines] == [
        "  - pipelines.0.stages",
        "  - pipelines.1.settings.learner.lr",
        "  - pipelines.1.settings.learner.steps",
    ]


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"study\.yaml: not YAML"):
        load_study(path, [], HYPERS)


def test_a_missing_study_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent.yaml: cannot read the study \(No such file"):
        load_study(tmp_path / "absent.yaml", [], HYPERS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study: [", "study.yaml: not YAML: while parsing"),
        ("!!python/object/apply:os.getcwd []", "study.yaml: not YAML: could not determine"),
        ("- a\n", "study.yaml: got list, expected keys and values"),
        ("", "study.yaml: got NoneType, expected keys and values"),
    ],
)
def test_a_file_that_is_no_study_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text)


GRID = {"stages": ["learner"], "settings": {"learner.lr": 0.1, "learner.steps": 5}}


def test_a_grid_of_finite_ranges_is_taken(tmp_path: Path) -> None:
    study = load(tmp_path, STUDY | {"sampler": "grid", "pipelines": [GRID]})
    assert study.sampler == "grid"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": {}}, r"pipelines.0.settings.learner.lr: 0.0001 to 0.1, logarithmic, is no"),
        ({"trials": 9}, "pipelines.0.trials: got 9; the grid has 2 points and runs them all"),
    ],
)
def test_a_grid_that_has_no_end_or_another_size_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, STUDY | {"sampler": "grid", "pipelines": [GRID | change]})
