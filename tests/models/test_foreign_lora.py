import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from distmerge.errors import CheckpointError
from distmerge.models import Tower, import_checkpoint, load_metadata, load_state, save_state
from tests.models.test_foreign_hugging_face import IMAGES, SIZES, features
from tests.world import TOWER, random_weights

# peft asks transformers in a way that transformers has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
RANK = 2
ALL = ["q_proj", "v_proj", "out_proj", "fc1", "fc2", "visual_projection"]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The file of an imported tower; its transformers folder is beside it."""
    torch.manual_seed(0)  # noqa: TID251  # transformers' initialisers know no generator
    CLIPVisionModelWithProjection(CLIPVisionConfig(**SIZES)).save_pretrained(tmp_path / "base")
    return import_checkpoint(str(tmp_path / "base"), tmp_path / "out").files[0]


def adapted(model: Any, folder: Path, **settings: Any) -> Any:
    """Give peft's model with random matrices, and write its adapter."""
    config = peft.LoraConfig(**{"r": RANK, "lora_alpha": 6, "target_modules": ALL, **settings})
    wrapped = peft.get_peft_model(model, config).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
    wrapped.save_pretrained(folder)
    return wrapped


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True},
        {"target_modules": ["q_proj"], "bias": "none"},
        {"rank_pattern": {"fc1": 3}, "alpha_pattern": {"layers.1.mlp.fc1": 2, "q_proj": 1}},
    ],
)
def test_a_merged_adapter_gives_the_features_that_peft_gives(
    base: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    model = CLIPVisionModelWithProjection.from_pretrained(tmp_path / "base")
    plain = model(IMAGES).image_embeds
    expected = adapted(model, tmp_path / "lora", **settings)(pixel_values=IMAGES).image_embeds
    assert (expected - plain).abs().max() > 1e-3
    found = features(tmp_path / "lora", tmp_path / "out", base=base)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_an_adapter_of_open_clips_modules_is_merged(tmp_path: Path) -> None:
    weights = random_weights(Tower(TOWER), 0)
    save_state(tmp_path / "base.safetensors", weights)
    (tmp_path / "tower.json").write_text(TOWER.model_dump_json())
    (tmp_path / "lora").mkdir()
    a, b = torch.ones(RANK, 16), torch.ones(64, RANK)
    name = "transformer.resblocks.1.mlp.c_fc"
    save_state(
        tmp_path / "lora" / "adapter_model.safetensors",
        {f"base_model.model.{name}.lora_{part}.weight": m for part, m in (("A", a), ("B", b))},
    )
    settings = {"peft_type": "LORA", "r": RANK, "lora_alpha": 1}
    (tmp_path / "lora" / "adapter_config.json").write_text(json.dumps(settings))
    base = tmp_path / "base.safetensors"
    merged = load_state(import_checkpoint(str(tmp_path / "lora"), tmp_path, base=base).files[0])
    changed = [key for key in weights if not torch.equal(merged[key], weights[key])]
    assert changed == [f"{name}.weight"]
    torch.testing.assert_close(merged[f"{name}.weight"], weights[f"{name}.weight"] + 1)


def test_the_base_is_written_beside_the_tensors(base: Path, tmp_path: Path) -> None:
    model = CLIPVisionModelWithProjection.from_pretrained(tmp_path / "base")
    adapted(model, tmp_path / "lora")
    file = import_checkpoint(str(tmp_path / "lora"), tmp_path / "out", base=base).files[0]
    assert load_metadata(file)["kind"] == "PEFT adapter"
    assert len(load_metadata(file)["base_sha256"]) == 64


def test_an_adapter_without_its_base_asks_for_it(base: Path, tmp_path: Path) -> None:
    adapted(CLIPVisionModelWithProjection.from_pretrained(tmp_path / "base"), tmp_path / "lora")
    with pytest.raises(CheckpointError, match=r"a PEFT adapter; name the imported tower .*--base"):
        import_checkpoint(str(tmp_path / "lora"), tmp_path / "out")


def test_everything_that_cannot_be_merged_is_listed(base: Path, tmp_path: Path) -> None:
    adapted(
        CLIPVisionModelWithProjection.from_pretrained(tmp_path / "base"),
        tmp_path / "lora",
        use_dora=True,
        bias="all",
    )
    path = tmp_path / "lora" / "adapter_config.json"
    change = {"fan_in_fan_out": True, "init_lora_weights": "pissa", "peft_type": "LOHA"}
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match="an adapter that cannot be merged") as caught:
        import_checkpoint(str(tmp_path / "lora"), tmp_path / "out", base=base)
    for problem in (
        "use_dora: True; not supported",
        "fan_in_fan_out: True; not supported",
        "bias: 'all'; expected 'none'",
        "init_lora_weights: 'pissa'; it changes the base's weights",
        "peft_type: 'LOHA'; expected 'LORA'",
        "lora_magnitude_vector: not a LoRA matrix",
    ):
        assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("name", "shape", "problem"),
    [
        ("encoder.layers.7.mlp.fc1", (RANK, 16), "the base has no such module"),
        ("encoder.layers.0.mlp.fc1", (RANK, 17), r"lora_B and lora_A of .* for a \(64, 16\)"),
    ],
)
def test_an_adapter_of_another_tower_is_refused(
    base: Path, tmp_path: Path, name: str, shape: tuple[int, int], problem: str
) -> None:
    (tmp_path / "lora").mkdir()
    matrices = {"A": torch.ones(shape), "B": torch.ones(64, RANK)}
    save_state(
        tmp_path / "lora" / "adapter_model.safetensors",
        {f"base_model.model.vision_model.{name}.lora_{k}.weight": m for k, m in matrices.items()},
    )
    settings = {"peft_type": "LORA", "r": RANK, "lora_alpha": 1}
    (tmp_path / "lora" / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=problem):
        import_checkpoint(str(tmp_path / "lora"), tmp_path / "out", base=base)


def test_a_base_without_its_description_is_named(base: Path, tmp_path: Path) -> None:
    adapted(CLIPVisionModelWithProjection.from_pretrained(tmp_path / "base"), tmp_path / "lora")
    base.with_name("tower.json").unlink()
    with pytest.raises(CheckpointError, match=r"tower\.json: cannot read the tower description"):
        import_checkpoint(str(tmp_path / "lora"), tmp_path / "out", base=base)


def test_the_same_adapter_on_another_base_or_scale_does_not_replace_a_file(
    base: Path, tmp_path: Path
) -> None:
    model = CLIPVisionModelWithProjection.from_pretrained(tmp_path / "base")
    adapted(model, tmp_path / "lora")
    adapter, out = str(tmp_path / "lora"), tmp_path / "out"
    first = import_checkpoint(adapter, out, base=base)
    assert import_checkpoint(adapter, out, base=base) == first
    other = out / "other.safetensors"
    state = load_state(base)
    save_state(other, {**state, "proj": state["proj"] + 1})
    with pytest.raises(CheckpointError, match=r"is there already, from another base \(base_sha256"):
        import_checkpoint(adapter, out, base=other)
    path = tmp_path / "lora" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"lora_alpha": 7}))
    with pytest.raises(CheckpointError, match=r"is there already, from another configuration"):
        import_checkpoint(adapter, out, base=base)
