"""One checkpoint of another program becomes files that a study can name."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from distmerge.errors import CheckpointError, problem_list
from distmerge.models.foreign.architecture import check_tower, tower_of_model
from distmerge.models.foreign.reading import Foreign, load_base, read_foreign
from distmerge.models.foreign.sources import local_copy
from distmerge.models.state import StateDict, load_metadata, save_state
from distmerge.spec import TowerConfig, load_tower_config

CONVERTER = "1"
"""Version of the conversion, written beside the tensors."""


class Imported(NamedTuple):
    """What an import wrote."""

    files: tuple[Path, ...]
    summary: str
    """The kind of source, and the tower or what is not known of it."""


def import_checkpoint(
    source: str,
    folder: Path,
    *,
    name: str | None = None,
    model: str | None = None,
    base: Path | None = None,
) -> Imported:
    """Write a checkpoint's tower, head and tower description below ``folder``, all or nothing.

    Files are ``NAME.safetensors`` (a tower, or a head that came alone), ``NAME.head.safetensors``
    (a head that came with its tower) and ``tower.json``.

    Args:
        source: a file, a folder of transformers or PEFT, or a URL of one.
        folder: where to write.
        name: of the files; by default the source's.
        model: the open_clip model the tower belongs to, where the checkpoint does not tell it.
        base: an imported tower with its ``tower.json``; adapters need it, and a transformers
            vision model without projection takes the base's.

    Raises:
        CheckpointError: the source cannot be read or is of another architecture, or a file of
            another source is already there.
    """
    with local_copy(source) as path:
        try:
            root = load_base(base) if base else None
            foreign = read_foreign(path, root)
            config = _agreed(foreign, folder / "tower.json", model) if foreign.tower else None
        except CheckpointError as error:
            problem = str(error).removeprefix(f"{path}: ")
            raise CheckpointError(f"{source}: {problem}") from error
        origin = {"source": path.name, "source_sha256": foreign.digest, "kind": foreign.kind}
        origin |= {"converter": CONVERTER, **({"base_sha256": root.digest} if root else {})}
        states = _states(foreign, folder, name or path.stem)
    for target in states:
        _check_free(target, origin)
    written = (*states, *((folder / "tower.json",) if config else ()))
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".import-") as beside:
        parts = [Path(beside) / str(number) for number in range(len(written))]
        for part, state in zip(parts, states.values(), strict=False):
            save_state(part, state, {**origin, **_facts(config)})
        if config is not None:
            parts[-1].write_text(config.model_dump_json(indent=2))
        for part, target in zip(parts, written, strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            part.replace(target)
    return Imported(written, f"{foreign.kind}: {_summary(foreign, config)}")


def _facts(config: TowerConfig | None) -> dict[str, str]:
    """Give what a plan compares with the study's tower (see distmerge.models.headers)."""
    if config is None:
        return {}
    activation = "quick_gelu" if config.quick_gelu else "gelu"
    return {"activation": activation, "preprocess": config.preprocess.model_dump_json()}


def _summary(foreign: Foreign, config: TowerConfig | None) -> str:
    if foreign.tower is None:
        assert foreign.head is not None
        return f"a head of {len(foreign.head['weight'])} classes"
    if config is None:
        return (
            "a tower whose heads and activation are not known, so without tower.json; name its "
            "open_clip model: --model ViT-B-32, or ViT-B-32-quickgelu for OpenAI's weights"
        )
    activation = "QuickGELU" if config.quick_gelu else "GELU"
    return f"{config.backbone}, {activation}, features of {config.output_dim}"


def _states(foreign: Foreign, folder: Path, name: str) -> dict[Path, StateDict]:
    states = {}
    if foreign.tower is not None:
        states[folder / f"{name}.safetensors"] = foreign.tower
    if foreign.head is not None:
        ending = "safetensors" if foreign.tower is None else "head.safetensors"
        states[folder / f"{name}.{ending}"] = foreign.head
    return states


def _agreed(foreign: Foreign, existing: Path, model: str | None) -> TowerConfig | None:
    """Give the tower that all who say something about it agree on.

    Raises:
        CheckpointError: they do not agree, or the weights are of another tower.
    """
    told = {
        "the checkpoint": foreign.config,
        f"open_clip's {model}": tower_of_model(model) if model else None,
        str(existing): load_tower_config(existing) if existing.exists() else None,
    }
    known = {who: config for who, config in told.items() if config is not None}
    if not known:
        return None
    (first, config), *others = known.items()
    assert foreign.tower is not None
    check_tower(foreign.tower, config)
    problems = [
        f"{field}: {getattr(config, field)} by {first}, {getattr(other, field)} by {who}"
        for who, other in others
        for field in TowerConfig.model_fields
        # Weights do not tell LayerScale's first value, and no one needs it any more.
        if getattr(other, field) != getattr(config, field) and field != "ls_init_value"
    ]
    if problems:
        hint = "choose another --model, or another folder for towers of another kind"
        raise CheckpointError(problem_list(f"towers differ ({hint})", problems))
    return config


def _check_free(target: Path, origin: dict[str, str]) -> None:
    if not target.exists():
        return
    got = load_metadata(target).get("source_sha256", "unknown")
    if got != origin["source_sha256"]:
        raise CheckpointError(
            f"{target}: is there already, from another source (SHA-256 {got[:16]}, this one "
            f"{origin['source_sha256'][:16]}); choose another --name, or remove it"
        )
