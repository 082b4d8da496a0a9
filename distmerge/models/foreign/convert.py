"""One checkpoint of another program becomes files that a study can name."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from safetensors import SafetensorError

from distmerge.errors import CheckpointError, problem_list
from distmerge.models.foreign.architecture import check_tower, fact_problems
from distmerge.models.foreign.named import tower_of_model
from distmerge.models.foreign.reading import Foreign, load_base, read_foreign
from distmerge.models.foreign.sources import local_copy
from distmerge.models.foreign.text import TOKENIZER, same_tokenizer
from distmerge.models.state import StateDict, load_metadata, save_state
from distmerge.remote import without_query
from distmerge.spec import AnyTower, TextTower, TowerConfig, load_tower_config

_IDENTITY = {"source_sha256": "source", "base_sha256": "base", "settings": "configuration"}
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
    (a head that came with its tower), ``NAME.text.safetensors`` (the text tower of a pickled CLIP
    model, for zero-shot heads), ``tower.json``, and of texts ``tokenizer.json``.
    ``NAME.safetensors`` comes last: where it is, the others are too, and after a kill the same
    import again completes what is there.

    Args:
        source: a file, a folder of transformers or PEFT, or a URL of one.
        folder: where to write.
        name: of the files; by default the source's.
        model: the open_clip model the tower belongs to, where the checkpoint does not tell it; or
            ``NAME:TAG``, with open_clip's tag of the pretrained weights that were fine-tuned.
        base: an imported tower with its ``tower.json``; adapters need it, and a transformers
            vision model without projection takes the base's.

    Raises:
        CheckpointError: the source cannot be read or is of another architecture, or a file of
            another source or base is already there, or the folder cannot be written.
    """
    with local_copy(source) as path:
        try:
            root = load_base(base) if base else None
            foreign = read_foreign(path, root)
            config = _agreed(foreign, folder / "tower.json", model) if foreign.tower else None
            _check_beside(foreign, config, folder)
        except (CheckpointError, OSError) as error:
            problem = str(error).removeprefix(f"{path}: ")
            raise CheckpointError(f"{without_query(source)}: {problem}") from error
        origin = {"source": path.name, "source_sha256": foreign.digest, "kind": foreign.kind}
        origin |= {"settings": foreign.settings} if foreign.settings else {}
        origin |= {"converter": CONVERTER, **({"base_sha256": root.digest} if root else {})}
        states = _states(foreign, folder, name or path.stem)
    metadata = {**origin, **_facts(config)}
    try:
        for target in states:
            _check_free(target, metadata)
        beside = {folder / name: content for name, content in foreign.beside.items()}
        texts = {target: content for target, content in beside.items() if not target.exists()}
        if config is not None:
            texts = {folder / "tower.json": config.model_dump_json(indent=2).encode(), **texts}
        _write(folder, states, texts, metadata, foreign.head if foreign.linear else None)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{folder}: cannot be written ({error}); expected a folder, or the name of a new one"
        ) from error
    return Imported((*states, *texts), f"{foreign.kind}: {_summary(foreign, config)}")


def _write(
    folder: Path,
    states: Mapping[Path, StateDict],
    texts: Mapping[Path, bytes],
    metadata: Mapping[str, str],
    linear_head: StateDict | None,
) -> None:
    """Write all files, or none of them; the first one last."""
    folder.mkdir(parents=True, exist_ok=True)
    written = (*states, *texts)
    with TemporaryDirectory(dir=folder, prefix=".import-") as unfinished:
        parts = [Path(unfinished) / str(number) for number in range(len(written))]
        for part, state in zip(parts, states.values(), strict=False):
            linear = {"normalised": "false"} if state is linear_head else {}
            save_state(part, state, {**metadata, **linear})
        for part, content in zip(parts[len(states) :], texts.values(), strict=True):
            part.write_bytes(content)
        for part, target in reversed(list(zip(parts, written, strict=True))):
            target.parent.mkdir(parents=True, exist_ok=True)
            part.replace(target)


def _facts(config: AnyTower | None) -> dict[str, str]:
    """Give what a plan compares with the study's tower (see distmerge.models.headers)."""
    if config is None:
        return {}
    if isinstance(config, TextTower):
        return {"preprocess": config.preprocess.model_dump_json()}
    activation = "quick_gelu" if config.quick_gelu else "gelu"
    return {"activation": activation, "preprocess": config.preprocess.model_dump_json()}


def _summary(foreign: Foreign, config: AnyTower | None) -> str:
    if foreign.tower is None:
        assert foreign.head is not None
        return f"a head of {len(foreign.head['weight'])} classes"
    if config is None:
        return (
            "a tower that its tensors do not tell in full, so without tower.json; name its "
            "open_clip model: --model ViT-B-32, ViT-B-32-quickgelu for OpenAI's weights, or RN50"
        )
    what = config.description
    if isinstance(config, TowerConfig):
        activation = "QuickGELU" if config.quick_gelu else "GELU"
        what = f"{config.backbone}, {activation}, features of {config.output_dim}"
    reads = config.preprocess.description
    if foreign.assumed and config is foreign.config:
        reads += f" ({', '.join(foreign.assumed)} as CLIP has them: the checkpoint does not tell)"
    with_head = f", a head of {len(foreign.head['weight'])} classes" if foreign.head else ""
    with_text = ", a text tower" if foreign.text else ""
    return f"{what}, {reads}{with_head}{with_text}"


def _states(foreign: Foreign, folder: Path, name: str) -> dict[Path, StateDict]:
    states = {}
    if foreign.tower is not None:
        states[folder / f"{name}.safetensors"] = foreign.tower
    if foreign.head is not None:
        ending = "safetensors" if foreign.tower is None else "head.safetensors"
        states[folder / f"{name}.{ending}"] = foreign.head
    if foreign.text is not None:
        states[folder / f"{name}.text.safetensors"] = foreign.text
    return states


def _agreed(foreign: Foreign, existing: Path, model: str | None) -> AnyTower | None:
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
    if config is foreign.config and others:
        config = _completed(config, foreign.assumed, others[0][1])
    assert foreign.tower is not None
    check_tower(foreign.tower, config)
    own = config.model_dump()
    problems = list(fact_problems(foreign.facts, config))
    problems += [
        f"{field}: {own.get(field)} by {first}, {theirs.get(field)} by {who}"
        for who, theirs in ((who, other.model_dump()) for who, other in others)
        for field in {**own, **theirs}
        # Weights do not tell LayerScale's first value, and no one needs it any more.
        if theirs.get(field) != own.get(field) and field != "ls_init_value"
    ]
    if problems:
        hint = "choose another --model, or another folder for towers of another kind"
        raise CheckpointError(problem_list(f"towers differ ({hint})", problems))
    return config


def _completed(config: AnyTower, assumed: Sequence[str], other: AnyTower) -> AnyTower:
    """Give the checkpoint's tower with another's preprocessing where it tells nothing of it."""
    if not (isinstance(config, TowerConfig) and isinstance(other, TowerConfig)):
        return config
    told = {field: getattr(other.preprocess, field) for field in assumed}
    preprocess = config.preprocess.model_copy(update=told)
    return config.model_copy(update={"preprocess": preprocess})


def _check_beside(foreign: Foreign, config: AnyTower | None, folder: Path) -> None:
    """Check that the folder has, or gets, the one tokenizer of its towers.

    Raises:
        CheckpointError: there is none, or another one.
    """
    there = folder / TOKENIZER
    if isinstance(config, TextTower) and not (foreign.beside or there.exists()):
        raise CheckpointError(
            f"no {TOKENIZER}; AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) of "
            "transformers writes it"
        )
    own = foreign.beside.get(TOKENIZER)
    if own is not None and there.exists() and not same_tokenizer(own, there.read_bytes()):
        raise CheckpointError(
            f"{TOKENIZER}: gives other tokens than {there}; choose another folder, or remove the "
            "one that is not the base's"
        )


def _check_free(target: Path, origin: Mapping[str, str]) -> None:
    """Check that what is there already, if anything, is of the same import.

    Raises:
        CheckpointError: it is not, or is no safetensors file.
    """
    if not target.exists():
        return
    said = load_metadata(target)
    for fact, what in _IDENTITY.items():
        got, own = said.get(fact, "none"), origin.get(fact, "none")
        # Imports of before did not write their settings.
        if got != own and (fact in said or fact != "settings"):
            raise CheckpointError(
                f"{target}: is there already, from another {what} ({fact} {got[:16]}, this one "
                f"{own[:16]}); choose another --name, or remove it"
            )
