"""Commands about models: convert a checkpoint, merge some, export a run's model, predict."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from distmerge.cli.consoles import ERR, OUT, Json
from distmerge.errors import DataError

if TYPE_CHECKING:
    from distmerge.artefact import Prediction


def import_(
    source: Annotated[str, typer.Argument(help="A file, a folder, or a URL (s3://, hf://, ...).")],
    folder: Annotated[Path, typer.Argument(help="Where to write.")],
    name: Annotated[str | None, typer.Option(help="Of the files (default: the source's).")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="open_clip's NAME or NAME:TAG, if the source does not tell: RN50:openai."
        ),
    ] = None,
    base: Annotated[
        Path | None, typer.Option(help="The imported tower that an adapter was trained on.")
    ] = None,
) -> None:
    """Convert a checkpoint of another program; no code of it is run."""
    from distmerge.models import import_checkpoint

    done = import_checkpoint(source, folder, name=name, model=model, base=base)
    for path in done.files:
        OUT.print(str(path), highlight=False, soft_wrap=True)
    OUT.print(done.summary, highlight=False, soft_wrap=True)


def merge(
    checkpoints: Annotated[
        list[Path], typer.Argument(help="Safetensors files of the fine-tuned models.")
    ],
    base: Annotated[Path, typer.Option(help="The pretrained model they come from.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    method: Annotated[
        str, typer.Option(help="One that needs no data: weight_averaging, task_arithmetic, ties.")
    ] = "task_arithmetic",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Such as ties.density=0.2; `distmerge methods ties` lists them."
        ),
    ] = None,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16", "base"],
        typer.Option(help="Of the merged tensors; base: as the base has them."),
    ] = "float32",
) -> None:
    """Merge files of any architecture, without data, in little memory."""
    from distmerge.static import merge_files, static_recipe

    merge_files(base, checkpoints, output, static_recipe(method, settings or []), dtype)
    size = f"{output.stat().st_size / 1e6:10,.2f} MB"
    OUT.print(f"{size}  {output}", highlight=False, soft_wrap=True)


def export(
    run_id: Annotated[str, typer.Argument(help="A run, or how its name begins.")],
    storage: Annotated[str, typer.Option(help="Folder or URL of a results dataset.")] = "results",
    form: Annotated[
        Literal["open_clip", "hf"],
        typer.Option("--format", help="hf: beside it, the tower as transformers reads it."),
    ] = "open_clip",
    to: Annotated[
        Path | None, typer.Option(help="The new folder (default: STUDY-RUN).", show_default=False)
    ] = None,
) -> None:
    """Write any run's model into a folder that needs nothing else."""
    from distmerge.sweep import export_run

    folder = export_run(run_id, storage, to=to, hugging_face=form == "hf")
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = f"{path.stat().st_size / 1e6:10,.2f} MB"
        OUT.print(f"{size}  {path.relative_to(folder)}", highlight=False, soft_wrap=True)
    OUT.print(f"model    {folder}", highlight=False, soft_wrap=True)


def predict(
    folder: Annotated[Path, typer.Argument(help="A model's folder, as export writes it.")],
    samples: Annotated[
        list[str],
        typer.Argument(help="Image files; for a model of texts: texts, or @FILE of one a line."),
    ],
    task: Annotated[
        str | None, typer.Option(help="Whose classes; a routed model finds out by itself.")
    ] = None,
    device: Annotated[str, typer.Option(help="Such as cpu or cuda:0.")] = "cpu",
    as_json: Json = False,
) -> int:
    """Print what a model sees in images, or reads in texts."""
    from distmerge.artefact import Unreadable, load

    model = load(folder, device)
    kind = "image" if model.reads == "pictures" else "text"
    asked = samples if kind == "image" else [text for one in samples for text in _texts(one)]
    found = list(zip(asked, model.try_predict(asked, task), strict=True))
    bad = [(name, answer) for name, answer in found if isinstance(answer, Unreadable)]
    if as_json:
        OUT.print_json(json.dumps([{kind: k, **v._asdict()} for k, v in found]))
    else:
        answers = [(k, v) for k, v in found if not isinstance(v, Unreadable)]
        OUT.print(_predictions(answers, kind, routed=task is None))
    for name, answer in bad:
        ERR.print(f"{name}: {answer.reason}", highlight=False, soft_wrap=True)
    if bad:
        ERR.print(f"{len(bad)} of {len(found)} {kind}s cannot be read", highlight=False)
    return 1 if bad else 0


def _texts(argument: str) -> list[str]:
    """Give a text as it is, or the lines of @FILE."""
    if not argument.startswith("@"):
        return [argument]
    try:
        lines = Path(argument[1:]).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{argument[1:]}: cannot read the texts ({error})") from error
    return [line for line in lines if line.strip()]


def _predictions(found: "Sequence[tuple[str, Prediction]]", kind: str, *, routed: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in (kind, "class", "probability", *(("task", "weight") if routed else ())):
        table.add_column(title)
    for name, answer in found:
        row = [name, answer.label, f"{answer.probability:.3f}"]
        if answer.weight is not None:
            row += [answer.task, f"{answer.weight:.3f}"]
        table.add_row(*row)
    return table
