import json
from pathlib import Path

import pytest

from distmerge.cli import main
from tests.cli.messages import failure
from tests.launch.files import ROOT, changed

MISTAKES = [("  cache_stopped", "  cache_stoped"), ("g2-standard-8", "g2-standard-9")]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".ray" / "cluster_token").mkdir(parents=True)
    (tmp_path / "models").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DISTMERGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(ROOT)
    return tmp_path


def test_a_sound_file_shows_its_nodes_and_its_price(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "aws.yaml"
    path.write_text(changed("aws"))
    assert main(["cluster", "check", str(path), "--study", "jobs/quickstart.yaml"]) == 0
    printed = capsys.readouterr().out
    assert "gpu8_spot       g6.48xlarge, spot  192    8" in printed
    assert "price at the smallest size: 1.33 to 1.48 USD an hour" in printed
    assert "as of 2026-11-22; look at https://aws.amazon.com/ec2/pricing" in printed
    assert printed.endswith("nothing wrong found\n")


def test_a_sound_file_in_json_is_one_document(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "aws.yaml"
    path.write_text(changed("aws"))
    assert main(["cluster", "check", str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert "gpu8_spot" in {node["name"] for node in said["nodes"]}
    assert said["price"]["smallest"] == [
        pytest.approx(1.33, abs=0.01),
        pytest.approx(1.48, abs=0.01),
    ]
    assert said["problems"] == []


def test_every_mistake_is_told_and_the_price_too(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "gcp.yaml"
    path.write_text(changed("gcp", *MISTAKES))
    assert main(["cluster", "check", str(path)]) == 2
    captured = capsys.readouterr()
    assert "price without g2-standard-9: not in the table" in captured.out
    assert "to be mended before it is used" in captured.err


def test_an_absent_file_is_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot read the launch file" in failure(capsys, "cluster", "check", "absent.yaml")


def test_a_file_for_kubernetes_has_no_price(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = home / "kuberay.yaml"
    path.write_text(changed("kuberay"))
    assert main(["cluster", "check", str(path)]) == 0
    assert "price" not in capsys.readouterr().out


def test_a_study_that_is_wrong_is_not_submitted(capsys: pytest.CaptureFixture[str]) -> None:
    assert "sed: unknown key" in failure(capsys, "submit", "jobs/quickstart.yaml", "sed=1")


def test_an_override_with_credentials_is_not_submitted(capsys: pytest.CaptureFixture[str]) -> None:
    said = failure(capsys, "submit", "jobs/quickstart.yaml", "--storage", "s3://key:word@b/results")
    assert "a URL must not hold credentials" in said
    assert "word@" not in said


def test_a_study_is_not_submitted_without_a_token(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    said = failure(capsys, "submit", "jobs/quickstart.yaml")
    assert "RAY_AUTH_MODE: got disabled; jobs need a token: make one as cluster/README" in said
