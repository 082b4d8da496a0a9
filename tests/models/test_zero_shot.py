from pathlib import Path

import pytest
import torch
from open_clip import build_zero_shot_classifier

from distmerge.errors import CheckpointError
from distmerge.models import Wanted, load_head, zero_shot_files, zero_shot_head
from distmerge.spec import ZeroShotHead
from tests.models.clips import Clip, written_clip

CLASSES = ("cat", "a dog of unusual length", "lake or sea")
TEMPLATES = ("a photo of a {}.", "{}!", "art of the {}, in oil")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return written_clip(tmp_path_factory.mktemp("clip"))


def head_of(clip: Clip, **changes: object) -> ZeroShotHead:
    content = {"text": clip.text, "model": clip.model, "templates": TEMPLATES}
    return ZeroShotHead.model_validate({**content, **changes})


def test_logits_are_those_of_open_clips_own_classifier(clip: Clip) -> None:
    head = zero_shot_head(clip.text, clip.model, classes=CLASSES, templates=TEMPLATES)
    features = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    rows = build_zero_shot_classifier(clip.module, clip.tokenizer, CLASSES, TEMPLATES)
    scale = clip.module.logit_scale.exp()
    expected = scale * torch.nn.functional.normalize(features, dim=-1) @ rows
    assert torch.allclose(head(features) / scale, expected / scale, rtol=0, atol=1e-6)
    assert not head.bias.any()
    assert not head.center.any()


def test_the_same_texts_give_the_same_head(clip: Clip) -> None:
    one, other = (
        zero_shot_head(clip.text, clip.model, classes=CLASSES, templates=TEMPLATES)
        for _ in range(2)
    )
    assert torch.equal(one.weight, other.weight)


def test_every_row_is_as_long_as_the_logit_scale(clip: Clip) -> None:
    head = zero_shot_head(clip.text, clip.model, classes=CLASSES, templates=TEMPLATES)
    scale = clip.module.logit_scale.exp()
    assert torch.allclose(head.weight.norm(dim=1), scale.expand(3), rtol=1e-5)


def test_wrong_templates_and_classes_are_listed_together(clip: Clip) -> None:
    with pytest.raises(CheckpointError, match=r"'a photo' has 0 times {}, expected once") as caught:
        zero_shot_head(clip.text, clip.model, classes=("a", "a"), templates=("a photo", "{} {}"))
    assert "'{} {}' has 2 times {}" in str(caught.value)
    assert "classes: several are called a; give each a name of its own" in str(caught.value)


def test_a_file_is_the_head_and_is_made_once(clip: Clip, tmp_path: Path) -> None:
    wanted = {"pets": Wanted(head_of(clip), CLASSES)}
    path = zero_shot_files(wanted, feature_dim=8, cache=tmp_path)["pets"]
    made = path.stat().st_mtime_ns
    head = zero_shot_head(clip.text, clip.model, classes=CLASSES, templates=TEMPLATES)
    assert torch.equal(load_head(path, num_classes=3, feature_dim=8).weight, head.weight)
    assert zero_shot_files(wanted, feature_dim=8, cache=tmp_path) == {"pets": path}
    assert path.stat().st_mtime_ns == made


def test_a_cache_that_cannot_be_written_is_named(clip: Clip, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    wanted = {"pets": Wanted(head_of(clip), CLASSES)}
    with pytest.raises(CheckpointError, match=r"file: cannot write the cache .*DISTMERGE_CACHE"):
        zero_shot_files(wanted, feature_dim=8, cache=tmp_path / "file")


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"templates": "a {}"}, CLASSES),
        ({"classes": ("x", "y", "z")}, CLASSES),
        ({}, CLASSES[::-1]),
    ],
)
def test_other_texts_are_another_file(
    changes: dict[str, object], names: tuple[str, ...], clip: Clip, tmp_path: Path
) -> None:
    wanted = {"one": Wanted(head_of(clip), CLASSES), "two": Wanted(head_of(clip, **changes), names)}
    paths = zero_shot_files(wanted, feature_dim=8, cache=tmp_path)
    assert paths["one"] != paths["two"]


def test_what_is_wrong_with_all_heads_is_listed_at_once(clip: Clip, tmp_path: Path) -> None:
    wanted = {
        "short": Wanted(head_of(clip, classes=("x", "y")), CLASSES),
        "absent": Wanted(head_of(clip, text=tmp_path / "absent", templates="no slot"), CLASSES),
        "unknown": Wanted(head_of(clip, model="ViT-B-33"), CLASSES),
        "online": Wanted(head_of(clip, model="ViT-B-16-SigLIP"), CLASSES),
    }
    with pytest.raises(CheckpointError, match="zero-shot heads") as caught:
        zero_shot_files(wanted, feature_dim=9, cache=tmp_path / "cache")
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 4
    assert "task short: classes: got 2 names, expected 3; model" in lines[0]
    assert "embeds texts in 8 dimensions, the tower images in 9" in lines[0]
    assert "templates: neither one of SUN397, Cars" in lines[1]
    assert "absent: no such checkpoint" in lines[1]
    assert "model ViT-B-33: open_clip has none of this name" in lines[2]
    assert "its tokenizer comes from Hugging Face, and nothing is downloaded" in lines[3]
    assert not (tmp_path / "cache").exists()


def test_two_classes_of_one_name_are_refused_once_the_data_name_them(
    clip: Clip, tmp_path: Path
) -> None:
    wanted = {"water": Wanted(head_of(clip), ("sea_lake", "sea lake", "river"))}
    with pytest.raises(CheckpointError, match="task water: classes: several are called sea lake"):
        zero_shot_files(wanted, feature_dim=8, cache=tmp_path)
