import json
from pathlib import Path

import pytest
import torch
from open_clip import CLIPTextCfg

from distmerge.errors import CheckpointError
from distmerge.models import save_state
from distmerge.models.clip_text import ClipText, model_config, text_problems
from tests.models.clips import CONFIG, Clip, written_clip

TEXTS = ["a cat", "a photo of a dog that is rather long", ""]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return written_clip(tmp_path_factory.mktemp("clip"))


def expected_of(clip: Clip) -> torch.Tensor:
    embeddings: torch.Tensor = clip.module.encode_text(clip.tokenizer(TEXTS))
    return embeddings


def test_embeddings_are_open_clips(clip: Clip) -> None:
    embeddings = ClipText(clip.text, clip.model)(TEXTS)
    assert torch.allclose(embeddings, expected_of(clip), rtol=0, atol=1e-6)


def test_a_text_does_not_depend_on_those_beside_it(clip: Clip) -> None:
    encoder = ClipText(clip.text, clip.model)
    alone = torch.cat([encoder([text]) for text in TEXTS])
    assert torch.allclose(alone, encoder(TEXTS), rtol=0, atol=1e-6)


@pytest.mark.parametrize("text", [{"no_causal_mask": True}, {"pool_type": "last"}])
def test_a_tower_that_looks_beyond_the_end_reads_all_of_it(
    text: dict[str, object], tmp_path: Path
) -> None:
    clip = written_clip(tmp_path, text_cfg={**CONFIG["text_cfg"], **text})
    embeddings = ClipText(clip.text, clip.model)(TEXTS)
    assert torch.allclose(embeddings, expected_of(clip), rtol=0, atol=1e-6)


def test_the_activation_is_the_models(clip: Clip, tmp_path: Path) -> None:
    quick = written_clip(tmp_path, quick_gelu=True)
    embeddings = ClipText(clip.text, quick.model)(TEXTS)  # the same weights
    assert not torch.allclose(embeddings, expected_of(clip), atol=1e-4)


@pytest.mark.parametrize("prefix", ["", "text."])
def test_the_text_tower_alone_will_do_under_either_name(
    prefix: str, clip: Clip, tmp_path: Path
) -> None:
    state = clip.module.state_dict()
    scale = {"logit_scale": state.pop("logit_scale").reshape(1)}
    tower = {f"{prefix}{k}": v for k, v in state.items() if not k.startswith("visual.")}
    save_state(tmp_path / "text.safetensors", {**tower, **scale})
    encoder = ClipText(tmp_path / "text.safetensors", clip.model)
    assert torch.allclose(encoder(TEXTS), expected_of(clip), rtol=0, atol=1e-6)
    assert encoder.scale == pytest.approx(1 / 0.07)


def test_half_precision_is_computed_in_float32(clip: Clip, tmp_path: Path) -> None:
    save_state(tmp_path / "half", {k: v.half() for k, v in clip.module.state_dict().items()})
    embeddings = ClipText(tmp_path / "half", clip.model)(TEXTS)
    assert embeddings.dtype == torch.float32
    assert torch.allclose(embeddings, expected_of(clip), rtol=0, atol=1e-2)  # of the weights


def test_every_tensor_of_another_model_is_named(clip: Clip, tmp_path: Path) -> None:
    state = clip.module.state_dict()
    del state["ln_final.bias"], state["logit_scale"]
    state |= {"text_projection": torch.zeros(16, 4), "extra": torch.zeros(2)}
    save_state(tmp_path / "other", state)
    with pytest.raises(CheckpointError, match="other: not the text tower of") as caught:
        ClipText(tmp_path / "other", clip.model)
    problems = [line.strip() for line in str(caught.value).splitlines()[1:]]
    assert problems == [
        "- ln_final.bias: missing",
        "- logit_scale: missing",
        "- extra: not in the text tower",
        "- text_projection: got shape (16, 4), expected (16, 8)",
    ]


def test_a_file_without_a_text_tower_is_refused(clip: Clip, tmp_path: Path) -> None:
    visual = {k: v for k, v in clip.module.state_dict().items() if k.startswith("visual.")}
    save_state(tmp_path / "image", visual)
    (problem,) = text_problems(tmp_path / "image", clip.model, 8)
    assert "image: holds no text tower" in problem


def test_a_text_tower_of_another_configuration_is_known_by_its_header(
    clip: Clip, tmp_path: Path
) -> None:
    assert list(text_problems(clip.text, clip.model, 8)) == []
    state = {k: v for k, v in clip.module.state_dict().items() if "resblocks" not in k}
    del state["logit_scale"]
    save_state(tmp_path / "other", state)
    assert list(text_problems(tmp_path / "other", clip.model, 9)) == [
        f"model {clip.model}: embeds texts in 8 dimensions, the tower images in 9",
        f"{tmp_path}/other: text_cfg.layers: the file has 0, expected 2",
        f"{tmp_path}/other: logit_scale: missing",
    ]


@pytest.mark.parametrize("model", ["ViT-B-33", "../ViT-B-32", "missing.json"])
def test_a_configuration_that_is_not_there_is_a_problem(model: str, clip: Clip) -> None:
    (problem,) = text_problems(clip.text, model, 8)
    assert f"model {model}: " in problem


def test_a_model_of_open_clip_is_known_by_its_name() -> None:
    assert model_config("ViT-B-32-quickgelu")["quick_gelu"]
    assert CLIPTextCfg(**model_config("ViT-B-32")["text_cfg"]).context_length == 77


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "expected JSON with embed_dim and text_cfg"),
        ("[]", "expected JSON with embed_dim and text_cfg"),
        (json.dumps({"text_cfg": {}}), "expected JSON with embed_dim and text_cfg"),
        (json.dumps({**CONFIG, "text_cfg": {"deep": 1}}), "text_cfg: unknown keys deep"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(
    content: str, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(CheckpointError, match=problem):
        model_config(str(tmp_path / "model.json"))
