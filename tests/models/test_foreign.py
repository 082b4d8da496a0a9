import builtins
import os
import pickle
import resource
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
import torch

from distmerge.cli import main
from distmerge.errors import CheckpointError
from distmerge.models import (
    StateDict,
    Tower,
    import_checkpoint,
    load_head,
    load_metadata,
    load_state,
    save_state,
)
from distmerge.models.foreign.named import tower_of_model
from distmerge.models.foreign.pickled import StoredTensor, read_pickled
from distmerge.spec import Preprocess, TowerConfig, load_tower_config
from tests.models.old_files import (
    MEAN,
    STD,
    ClassificationHead,
    ImageClassifier,
    ImageEncoder,
    save_old,
)
from tests.world import TOWER, random_weights

OPENAI = TOWER.model_copy(
    update={"quick_gelu": True, "preprocess": Preprocess(size=16, mean=MEAN, std=STD)}
)
BOTH_FORMATS = pytest.mark.parametrize("zipped", [True, False])


@pytest.fixture(scope="module")
def weights() -> StateDict:
    return random_weights(Tower(OPENAI), 0)


def same(state: StateDict, expected: StateDict) -> bool:
    return state.keys() == expected.keys() and all(
        torch.equal(state[name], expected[name]) for name in expected
    )


@BOTH_FORMATS
@pytest.mark.parametrize("quick_gelu", [True, False])
def test_an_old_pickled_encoder_becomes_a_tower_without_its_classes(
    weights: StateDict, tmp_path: Path, zipped: bool, quick_gelu: bool
) -> None:
    config = OPENAI.model_copy(update={"quick_gelu": quick_gelu})
    path = save_old(tmp_path / "MNIST.pt", ImageEncoder(config, weights), zipped=zipped)
    assert "modeling" not in sys.modules
    done = import_checkpoint(str(path), tmp_path / "out")
    assert [file.name for file in done.files] == ["MNIST.safetensors", "tower.json"]
    assert same(load_state(done.files[0]), weights)
    assert load_tower_config(done.files[1]) == config


def test_the_source_is_written_beside_the_tensors(weights: StateDict, tmp_path: Path) -> None:
    path = save_old(tmp_path / "MNIST.pt", ImageEncoder(OPENAI, weights))
    metadata = load_metadata(import_checkpoint(str(path), tmp_path / "out").files[0])
    assert metadata["source"] == "MNIST.pt"
    assert len(metadata["source_sha256"]) == 64
    assert metadata["kind"] == "pickled module"
    assert metadata["converter"] == "1"
    assert metadata["activation"] == ("quick_gelu" if OPENAI.quick_gelu else "gelu")
    assert Preprocess.model_validate_json(metadata["preprocess"]) == OPENAI.preprocess


@BOTH_FORMATS
def test_an_old_pickled_head_becomes_a_head_without_center(tmp_path: Path, zipped: bool) -> None:
    head = ClassificationHead(torch.arange(24.0).reshape(3, 8), normalize=True)
    path = save_old(tmp_path / "head_MNIST.pt", head, zipped=zipped)
    (file,) = import_checkpoint(str(path), tmp_path / "out").files
    loaded = load_head(file, num_classes=3, feature_dim=8)
    assert torch.equal(loaded.weight, head.weight)
    assert not loaded.center.any()


def test_an_old_pickled_classifier_becomes_a_tower_and_a_head(
    weights: StateDict, tmp_path: Path
) -> None:
    head = ClassificationHead(torch.ones(3, 8), normalize=True)
    path = save_old(tmp_path / "all.pt", ImageClassifier(ImageEncoder(OPENAI, weights), head))
    names = [file.name for file in import_checkpoint(str(path), tmp_path / "out").files]
    assert names == ["all.safetensors", "all.head.safetensors", "tower.json"]


def test_a_head_of_features_that_are_not_normalised_is_refused(tmp_path: Path) -> None:
    path = save_old(tmp_path / "head.pt", ClassificationHead(torch.ones(3, 8), normalize=False))
    with pytest.raises(CheckpointError, match="normalize=False; expected True"):
        import_checkpoint(str(path), tmp_path / "out")


class Calling:
    """Unpickling it makes a folder."""

    def __init__(self, function: Callable[..., object], *arguments: str) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return self.call


def hostile(harm: Path) -> list[object]:
    shell = Calling(os.system, f"mkdir {harm}")
    encoder = ImageEncoder(OPENAI, random_weights(Tower(OPENAI), 0))
    encoder.cache_dir = shell  # type: ignore[assignment]  # where a hostile author hides it
    return [
        {"weight": Calling(os.mkdir, str(harm))},
        shell,
        Calling(builtins.eval, f"__import__('os').mkdir({str(harm)!r})"),
        encoder,
    ]


@BOTH_FORMATS
@pytest.mark.parametrize(("index", "call"), list(enumerate(["mkdir", "system", "eval", "system"])))
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(
    tmp_path: Path, zipped: bool, index: int, call: str
) -> None:
    harm = tmp_path / "harm"
    path = save_old(tmp_path / "model.pt", hostile(harm)[index], zipped=zipped)
    with pytest.raises(CheckpointError, match=rf"model\.pt: refused: .* call \w+\.{call}"):
        import_checkpoint(str(path), tmp_path / "out")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.pt"]


def test_a_plain_pickle_that_would_run_code_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Calling(os.mkdir, str(tmp_path / "harm"))))
    with pytest.raises(CheckpointError, match="refused: loading it would call"):
        import_checkpoint(str(path), tmp_path / "out")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "program",
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n(N}X\x01\x00\x00\x00ak\x00tb.",  # change a function
        b"ccollections\nOrderedDict\n(N}X\x01\x00\x00\x00ak\x00tb.",  # change a class
        b"cos\nsystem\n(N}X\x01\x00\x00\x00ak\x00tb.",
        b"(S'echo'\nios\nsystem\n.",  # an instruction of protocol 0
    ],
)
def test_a_pickle_cannot_change_what_reads_it(tmp_path: Path, program: bytes) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x02" + program)
    with pytest.raises(CheckpointError, match=r"refused|cut, damaged|a plain pickle"):
        import_checkpoint(str(path), tmp_path / "out")


@pytest.mark.parametrize("prefix", ["", "visual.", "module.visual.", "model.visual."])
def test_a_state_dict_of_a_whole_model_gives_its_image_tower(
    weights: StateDict, tmp_path: Path, prefix: str
) -> None:
    state = {f"{prefix}{name}": tensor for name, tensor in weights.items()}
    if prefix:
        state |= {"token_embedding.weight": torch.ones(2, 2), "logit_scale": torch.tensor(1.0)}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "epoch_3.pt")
    (file,) = import_checkpoint(str(tmp_path / "epoch_3.pt"), tmp_path / "out").files
    assert same(load_state(file), weights)


def test_safetensors_of_a_whole_model_in_half_precision_become_float32(
    weights: StateDict, tmp_path: Path
) -> None:
    state = {f"visual.{name}": tensor.half() for name, tensor in weights.items()}
    save_state(tmp_path / "clip.safetensors", {**state, "logit_scale": torch.tensor(1.0)})
    (file,) = import_checkpoint(str(tmp_path / "clip.safetensors"), tmp_path / "out").files
    assert same(load_state(file), {name: tensor.half().float() for name, tensor in weights.items()})


def test_a_state_dict_does_not_tell_its_activation_and_the_folder_may(
    weights: StateDict, tmp_path: Path
) -> None:
    source = str(tmp_path / "model.pt")
    torch.save(weights, source)
    assert "do not tell in full" in import_checkpoint(source, tmp_path).summary
    (tmp_path / "tower.json").write_text(OPENAI.model_dump_json())
    assert "QuickGELU" in import_checkpoint(source, tmp_path).summary


def test_all_tensors_that_do_not_fit_the_named_model_are_listed(
    weights: StateDict, tmp_path: Path
) -> None:
    torch.save(weights, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="not a vit-12x768/32 tower") as caught:
        import_checkpoint(str(tmp_path / "model.pt"), tmp_path / "out", model="ViT-B-32")
    assert "conv1.weight: got (16, 3, 8, 8); expected (768, 3, 32, 32)" in str(caught.value)
    assert "transformer.resblocks.11.ln_1.weight: missing" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_tower_of_another_activation_does_not_join_the_folder(
    weights: StateDict, tmp_path: Path
) -> None:
    gelu = OPENAI.model_copy(update={"quick_gelu": False})
    first = save_old(tmp_path / "first.pt", ImageEncoder(OPENAI, weights))
    other = save_old(tmp_path / "other.pt", ImageEncoder(gelu, weights))
    import_checkpoint(str(first), tmp_path / "out")
    with pytest.raises(CheckpointError, match="quick_gelu: False by the checkpoint, True by"):
        import_checkpoint(str(other), tmp_path / "out")
    assert not (tmp_path / "out" / "other.safetensors").exists()


def test_another_source_does_not_replace_a_file(weights: StateDict, tmp_path: Path) -> None:
    source = str(tmp_path / "finetuned.pt")
    torch.save(weights, source)
    import_checkpoint(source, tmp_path / "out")
    import_checkpoint(source, tmp_path / "out")
    torch.save({**weights, "proj": weights["proj"] + 1}, source)
    with pytest.raises(CheckpointError, match="is there already, from another source"):
        import_checkpoint(source, tmp_path / "out")
    assert import_checkpoint(source, tmp_path / "out", name="second").files[0].stem == "second"


@BOTH_FORMATS
@pytest.mark.parametrize("part", [0.02, 0.5, 0.999])
def test_a_cut_file_is_refused(
    weights: StateDict, tmp_path: Path, zipped: bool, part: float
) -> None:
    path = save_old(tmp_path / "model.pt", ImageEncoder(OPENAI, weights), zipped=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(CheckpointError, match=r"model\.pt: cut.*copy it again"):
        import_checkpoint(str(path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "starts with b''; expected safetensors"),
        (b"version https://git-lfs.github.com/spec/v1", "starts with b'version https://"),
        (b"PK\x03\x04not a zip", "cut, damaged or not written by torch.save"),
        (pickle.dumps([1]), "a plain pickle; expected a file that torch.save wrote"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.pt: ") as caught:
        import_checkpoint(str(tmp_path / "model.pt"), tmp_path / "out")
    assert problem in str(caught.value)


def test_a_module_that_holds_itself_is_refused(weights: StateDict, tmp_path: Path) -> None:
    encoder = ImageEncoder(OPENAI, weights)
    encoder.model.itself = encoder
    with pytest.raises(CheckpointError, match="modules nested over 50 deep"):
        import_checkpoint(str(save_old(tmp_path / "a.pt", encoder)), tmp_path / "out")


def test_a_dictionary_that_holds_itself_without_a_name_is_refused(tmp_path: Path) -> None:
    nested: dict[str, object] = {"weight": torch.ones(1)}
    nested[""] = nested
    torch.save(nested, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="modules nested over 50 deep"):
        import_checkpoint(str(tmp_path / "a.pt"), tmp_path / "out")


@pytest.mark.slow
def test_dictionaries_that_hold_each_other_many_times_are_refused(tmp_path: Path) -> None:
    nested: dict[str, object] = {}
    for _ in range(40):
        nested = {"a": nested, "b": nested}
    torch.save(nested, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="over 1,000,000 modules and tensors"):
        import_checkpoint(str(tmp_path / "a.pt"), tmp_path / "out")


def test_a_compressed_pickle_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(10**6))
    with pytest.raises(CheckpointError, match=r"a/data\.pkl is compressed"):
        read_pickled(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("content", "compression"),
    [(b"x" * 10**7, zipfile.ZIP_DEFLATED), (b"x" * 10**6, zipfile.ZIP_STORED)],
    ids=["compressed", "stored"],
)
def test_of_a_byte_order_only_the_beginning_is_read(
    tmp_path: Path, content: bytes, compression: int
) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}))
        archive.writestr("a/byteorder", content, compression)
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="byte order 'xxxxxxxxx'; expected 'little'"):
        read_pickled(tmp_path / "a.pt")
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


@pytest.mark.parametrize("instruction", [b"r\xff\xff\xff\x0f", b"p268435455\n"])
def test_a_memory_place_that_no_writer_uses_is_refused(tmp_path: Path, instruction: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(b"\x80\x02}" + instruction + b".")
    with pytest.raises(CheckpointError, match="memory place 268435455 after 3 bytes"):
        read_pickled(tmp_path / "a.pt")


def test_names_in_messages_are_cut(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"\x80\x02c" + b"x" * 10**5 + b"\nname\n)R.")
    with pytest.raises(CheckpointError, match="refused: loading it would call xxx") as caught:
        read_pickled(tmp_path / "a.pt")
    assert len(str(caught.value)) < 1000


def test_an_import_that_cannot_write_all_writes_nothing(weights: StateDict, tmp_path: Path) -> None:
    path = save_old(tmp_path / "all.pt", ImageEncoder(OPENAI, weights))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = sum(tensor.nbytes for tensor in weights.values()) // 2
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))  # as on a full disk
    try:
        with pytest.raises(Exception, match="File too large"):
            import_checkpoint(str(path), tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [
        *(
            (1, (2, 2), (2, 1)),
            (-1, (2,), (1,)),
            (3, (2,), (-1,)),
            (0, (9,), (0,)),
            (0, (5,), (1,)),
        ),
        *((0, (2,), (2, 1)), (0, (2, 2), (1,)), (0, (), (1,))),
        *((0, (-2, 0), (1, 1)), (0, (-1, -1), (1, 1)), (0, (1,), (-1,))),
        *((0, (1,), (2**63,)), (0, (0, 2**63), (1, 1)), (0, (0, 2**47, 2**47), (1, 1, 1))),
    ],
)
def test_a_tensor_outside_of_its_storage_is_refused(
    tmp_path: Path, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    torch.save(torch.arange(4.0), tmp_path / "a.pt")
    pickled = read_pickled(tmp_path / "a.pt")
    assert isinstance(pickled.root, StoredTensor)
    assert torch.equal(pickled.read(pickled.root), torch.arange(4.0))
    with pytest.raises(CheckpointError, match=r"a\.pt: cut or damaged: a tensor of shape"):
        pickled.read(pickled.root._replace(offset=offset, shape=shape, stride=stride))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:`torch.jit")
def test_a_torchscript_archive_as_openai_published_them_is_a_state_dict(tmp_path: Path) -> None:
    from open_clip.transformer import VisionTransformer

    visual = VisionTransformer(16, 8, 16, 2, 2, 4.0, output_dim=8).eval()
    torch.jit.save(
        torch.jit.trace(visual, torch.ones(1, 3, 16, 16), check_trace=False), tmp_path / "ViT.pt"
    )
    (file,) = import_checkpoint(str(tmp_path / "ViT.pt"), tmp_path / "out").files
    assert same(load_state(file), visual.state_dict())


def test_a_model_without_an_image_tower_is_named(tmp_path: Path) -> None:
    torch.save({"layer4.conv.weight": torch.ones(2), "fc.bias": torch.ones(2)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"no class_embedding.*layer4\.conv\.weight"):
        import_checkpoint(str(tmp_path / "a.pt"), tmp_path / "out")


def test_numbers_that_cannot_be_used_are_all_listed(weights: StateDict, tmp_path: Path) -> None:
    bad = weights["proj"].half()
    bad[0, 0] = 1e6
    state = {**weights, "proj": bad, "ln_post.bias": weights["ln_post.bias"].int()}
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="cannot be used") as caught:
        import_checkpoint(str(tmp_path / "model.pt"), tmp_path / "out")
    assert "proj: 1 of 128 are NaN or infinity; float16 overflows over 65504" in str(caught.value)
    assert "ln_post.bias: torch.int32 numbers" in str(caught.value)


def test_missing_tensors_of_a_module_are_listed(weights: StateDict, tmp_path: Path) -> None:
    encoder = ImageEncoder(OPENAI, weights)
    del encoder.model.visual.transformer.resblocks[1].ln_2
    with pytest.raises(CheckpointError, match=r"resblocks\.1\.ln_2\.bias: missing"):
        import_checkpoint(str(save_old(tmp_path / "a.pt", encoder)), tmp_path / "out")


def test_a_url_of_any_file_system_is_a_source(weights: StateDict, tmp_path: Path) -> None:
    with fsspec.open("memory://bucket/MNIST.pt", "wb") as file:
        torch.save(weights, file)
    (file,) = import_checkpoint("memory://bucket/MNIST.pt", tmp_path / "out").files
    assert file.name == "MNIST.safetensors"
    assert same(load_state(file), weights)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("memory://bucket/absent.pt", "cannot be read: no such file or folder, or key"),
        ("nowhere://bucket/a.pt", "cannot be read"),
        ("absent.pt", "no such file or folder"),
    ],
)
def test_a_source_that_is_not_there_is_named(tmp_path: Path, source: str, problem: str) -> None:
    with pytest.raises(CheckpointError, match=f"{source}: {problem}"):
        import_checkpoint(source, tmp_path / "out")


def test_the_hub_without_its_library_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match=r"pip install 'distmerge\[hf\]'"):
        import_checkpoint("hf://owner/name", tmp_path / "out")


def test_the_command_prints_what_it_wrote(
    weights: StateDict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save_old(tmp_path / "MNIST.pt", ImageEncoder(OPENAI, weights))
    assert main(["import", str(path), str(tmp_path / "out"), "--name", "mnist"]) == 0
    output = capsys.readouterr().out
    assert "mnist.safetensors" in output
    assert "pickled module: vit-2x16/8, QuickGELU, features of 8" in output


MEASURED = """
import re, sys, time
from pathlib import Path
from distmerge.models import import_checkpoint

def peak_mib():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

before, start = peak_mib(), time.monotonic()
import_checkpoint(sys.argv[1], Path(sys.argv[2]))
print(time.monotonic() - start, peak_mib() - before)
"""


@pytest.mark.slow
def test_a_pickle_of_full_size_is_imported_in_little_more_memory_than_its_tower(
    tmp_path: Path,
) -> None:
    config = tower_of_model("ViT-B-32-quickgelu")
    assert isinstance(config, TowerConfig)
    encoder = ImageEncoder(config, random_weights(Tower(config), 0))
    encoder.model.token_embedding = torch.nn.Embedding(49408, 512)
    path = save_old(tmp_path / "model.pt", encoder)
    command = [sys.executable, "-c", MEASURED, str(path), str(tmp_path / "out")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    _, peak_mib = map(float, done.stdout.split())
    assert load_tower_config(tmp_path / "out" / "tower.json") == config
    assert peak_mib < 1.5 * 335  # the tower in float32 is 335 MiB
