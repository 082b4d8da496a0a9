import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    CLIPVisionModelWithProjection,
)

from distmerge.errors import CheckpointError
from distmerge.models import (
    StateDict,
    Tower,
    import_checkpoint,
    load_state,
    save_state,
    to_hugging_face,
)
from distmerge.models.foreign import from_hugging_face
from distmerge.models.foreign.preparation import read_preparation
from distmerge.spec import Preprocess, TowerConfig, load_tower_config
from tests.world import TOWER, random_weights

IMAGES = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
SIZES = {
    "hidden_size": 16,
    "intermediate_size": 64,
    "projection_dim": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}


def saved(folder: Path, kind: Any, **settings: object) -> Any:
    """Give transformers' own model, its weights at random and large enough to matter."""
    model = kind(CLIPVisionConfig(**{**SIZES, **settings})).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    model.save_pretrained(folder)
    return model


def features(folder: Path, out: Path, **options: Any) -> torch.Tensor:
    file, description = import_checkpoint(str(folder), out, **options).files
    return Tower(load_tower_config(description)).features(load_state(file), IMAGES)


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("eps", [1e-5, 1e-2])
def test_a_vision_model_with_projection_gives_the_same_features(
    tmp_path: Path, activation: str, eps: float
) -> None:
    settings = {"hidden_act": activation, "layer_norm_eps": eps}
    model = saved(tmp_path / "hf", CLIPVisionModelWithProjection, **settings)
    expected = model(IMAGES).image_embeds
    found = features(tmp_path / "hf", tmp_path / "out")
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_vision_model_gives_the_same_features(tmp_path: Path) -> None:
    expected = saved(tmp_path / "hf", CLIPVisionModel)(IMAGES).pooler_output
    found = features(tmp_path / "hf", tmp_path / "out")
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_whole_model_gives_the_features_of_its_images(tmp_path: Path) -> None:
    text = {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "vocab_size": 9,
        "max_position_embeddings": 4,
    }
    config = CLIPConfig(text_config=text, vision_config=SIZES, projection_dim=8)
    model = CLIPModel(config).eval()
    model.save_pretrained(tmp_path / "hf")
    expected = model.visual_projection(model.vision_model(IMAGES).pooler_output)
    found = features(tmp_path / "hf", tmp_path / "out")
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_vision_model_without_projection_takes_the_projection_of_its_base(
    tmp_path: Path,
) -> None:
    whole = saved(tmp_path / "base", CLIPVisionModelWithProjection)
    base = import_checkpoint(str(tmp_path / "base"), tmp_path / "out").files[0]
    tuned = saved(tmp_path / "tuned", CLIPVisionModel)
    expected = whole.visual_projection(tuned(IMAGES).pooler_output)
    found = features(tmp_path / "tuned", tmp_path / "out", base=base)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("quick_gelu", [True, False])
@pytest.mark.parametrize("projection", [True, False])
def test_transformers_gives_the_features_of_an_exported_tower(
    tmp_path: Path, quick_gelu: bool, projection: bool
) -> None:
    config = TowerConfig.model_validate(
        TOWER.model_dump()
        | {"quick_gelu": quick_gelu, "projection": projection, "mlp_ratio": 2.0}
        | ({} if projection else {"output_dim": 16})
    )
    weights = random_weights(Tower(config), 3)
    state, settings = to_hugging_face(weights, config)
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(settings))
    expected = Tower(config).features(weights, IMAGES)
    if projection:
        found = CLIPVisionModelWithProjection.from_pretrained(tmp_path)(IMAGES).image_embeds
    else:
        found = CLIPVisionModel.from_pretrained(tmp_path)(IMAGES).pooler_output
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_there_and_back_changes_no_bit() -> None:
    weights = random_weights(Tower(TOWER), 3)
    back, config = from_hugging_face(*to_hugging_face(weights, TOWER))
    assert config.model_copy(update={"preprocess": TOWER.preprocess}) == TOWER
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], weights[name]) for name in weights)


def test_the_normalisation_of_images_is_read(tmp_path: Path) -> None:
    saved(tmp_path / "hf", CLIPVisionModel)
    content = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    (tmp_path / "hf" / "preprocessor_config.json").write_text(json.dumps(content))
    description = import_checkpoint(str(tmp_path / "hf"), tmp_path / "out").files[1]
    preprocess = load_tower_config(description).preprocess
    assert isinstance(preprocess, Preprocess)
    assert preprocess.mean == (0.1, 0.2, 0.3)


def test_how_images_are_resized_is_read(tmp_path: Path) -> None:
    saved(tmp_path / "hf", CLIPVisionModel)
    content = {"size": {"height": 16, "width": 16}, "do_center_crop": False, "resample": 2}
    (tmp_path / "hf" / "preprocessor_config.json").write_text(json.dumps(content))
    description = import_checkpoint(str(tmp_path / "hf"), tmp_path / "out").files[1]
    preprocess = load_tower_config(description).preprocess
    assert isinstance(preprocess, Preprocess)
    assert (preprocess.resize, preprocess.interpolation) == ("squash", "bilinear")


def test_without_a_preprocessor_the_input_is_shown_as_assumed(tmp_path: Path) -> None:
    saved(tmp_path / "hf", CLIPVisionModel)
    summary = import_checkpoint(str(tmp_path / "hf"), tmp_path / "out").summary
    assert "16 pixels, mean 0.481455" in summary
    assert "as CLIP has them: the checkpoint does not tell" in summary


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"size": {"height": 16, "width": 16}, "crop_size": 16}, {"resize": "squash"}),
        ({"size": 16, "crop_size": {"height": 16, "width": 16}}, {"resize": "shortest"}),
        ({"do_normalize": False}, {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}),
        ({"resample": None, "do_center_crop": None}, {"interpolation": "bicubic"}),
    ],
)
def test_a_preprocessor_is_read_as_transformers_follows_it(
    content: dict[str, object], expected: dict[str, object]
) -> None:
    found = read_preparation(content, 16)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"size": {"shortest_edge": 18}}, r"size: {'shortest_edge': 18}; expected {'height': 16"),
        ({"do_center_crop": False}, r"size: 16; expected {'height': 16, 'width': 16}"),
        ({"crop_size": {"height": 12, "width": 12}}, r"crop_size: {'height': 12, .*; expected"),
        ({"resample": 1}, "resample: 1; expected 2 or 3"),
        ({"do_rescale": False}, "do_rescale: False; expected True"),
        ({"do_resize": False}, "do_resize: False; expected True"),
        ({"rescale_factor": 1.0}, "rescale_factor: 1.0; expected 1/255"),
    ],
)
def test_what_a_description_cannot_say_of_the_input_is_refused(
    content: dict[str, object], problem: str
) -> None:
    title = "prepares images as no tower here reads them"
    with pytest.raises(CheckpointError, match=f"{title}:\n  - {problem}"):
        read_preparation(content, 16)


def test_the_same_weights_with_another_configuration_do_not_replace_a_file(tmp_path: Path) -> None:
    saved(tmp_path / "hf", CLIPVisionModel)
    tower, description = import_checkpoint(str(tmp_path / "hf"), tmp_path / "out").files
    assert import_checkpoint(str(tmp_path / "hf"), tmp_path / "out").files[0] == tower
    path = tmp_path / "hf" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"hidden_act": "gelu"}))
    description.unlink()
    with pytest.raises(CheckpointError, match=r"is there already, from another configuration"):
        import_checkpoint(str(tmp_path / "hf"), tmp_path / "out")


def test_weights_as_torch_save_wrote_them_are_read(tmp_path: Path) -> None:
    model = saved(tmp_path / "hf", CLIPVisionModelWithProjection)
    (tmp_path / "hf" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "hf" / "pytorch_model.bin")
    found = features(tmp_path / "hf", tmp_path / "out")
    torch.testing.assert_close(found, model(IMAGES).image_embeds, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"model_type": "siglip_vision_model"}, "model_type 'siglip_vision_model'; expected"),
        ({"hidden_act": "relu"}, "hidden_act 'relu'; expected quick_gelu or gelu"),
        ({"hidden_act": ["gelu"]}, r"hidden_act \['gelu'\]; expected quick_gelu or gelu"),
        ({"model_type": ["clip"]}, r"model_type \['clip'\]; expected"),
        ({"hidden_size": None}, "describes no tower:\n  - hidden_size: None; expected a number"),
        ({"hidden_size": 0}, "hidden_size: 0; expected a number above 0"),
        ({"num_attention_heads": 3}, "describes no tower:\n.*width 16 is not a multiple"),
        ({"num_hidden_layers": 3}, r"encoder\.layers\.2\.layer_norm1\.bias: missing"),
        ({"num_hidden_layers": 1}, r"encoder\.layers\.1\.mlp\.fc1\.bias: not a tensor of this"),
        ({"patch_size": 4}, r"conv1\.weight: got \(16, 3, 8, 8\); expected \(16, 3, 4, 4\)"),
    ],
)
def test_another_architecture_is_refused(
    tmp_path: Path, change: dict[str, object], problem: str
) -> None:
    saved(tmp_path / "hf", CLIPVisionModel)
    path = tmp_path / "hf" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=problem):
        import_checkpoint(str(tmp_path / "hf"), tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("config.json", "{", r"config\.json: not readable JSON"),
        ("config.json", "[]", r"config\.json: got list; expected a JSON object"),
        ("other.json", "{}", r"a folder without config\.json or adapter_config\.json"),
    ],
)
def test_a_folder_that_tells_nothing_is_refused(
    tmp_path: Path, name: str, content: str, problem: str
) -> None:
    (tmp_path / name).write_text(content)
    save_state(tmp_path / "model.safetensors", {"weight": torch.ones(1)})
    with pytest.raises(CheckpointError, match=problem):
        import_checkpoint(str(tmp_path), tmp_path / "out")


def test_a_folder_without_its_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip_vision_model"}))
    with pytest.raises(CheckpointError, match=r"no model\.safetensors and no pytorch_model\.bin"):
        import_checkpoint(str(tmp_path), tmp_path / "out")


def test_the_weights_alone_ask_for_their_folder(tmp_path: Path) -> None:
    saved(tmp_path / "hf", CLIPVisionModelWithProjection)
    with pytest.raises(CheckpointError, match=r"import the folder that has its config\.json"):
        import_checkpoint(str(tmp_path / "hf" / "model.safetensors"), tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "problem"),
    [({"ls_init_value": 1e-5}, "ls_init_value: 1e-05"), ({"no_ln_pre": True}, "no_ln_pre: true")],
)
def test_a_tower_that_transformers_lacks_is_refused(
    change: dict[str, object], problem: str
) -> None:
    config = TOWER.model_copy(update=change)
    state: StateDict = {}
    with pytest.raises(CheckpointError, match=problem):
        to_hugging_face(state, config)
