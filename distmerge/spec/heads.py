"""What a task's frozen head is: a file, or class names for a CLIP text encoder to read."""

from pathlib import Path
from typing import Annotated, get_args

from pydantic import BeforeValidator, Discriminator, Field, Tag

from distmerge.spec.data import BenchmarkName
from distmerge.spec.hyper import Frozen

BENCHMARKS: tuple[str, ...] = get_args(BenchmarkName)


def _one_template(value: object) -> object:
    return (value,) if isinstance(value, str) and "{}" in value else value


Text = Annotated[str, Field(min_length=1)]


class ZeroShotHead(Frozen):
    """A head of one row per class: the mean embedding of the class's name in all templates."""

    text: Path
    """Safetensors file of the whole open_clip model, or of its text tower and ``logit_scale``."""
    model: Text
    """open_clip's name of that model, such as ``ViT-B-32``, or a JSON file like open_clip's model
    configurations; OpenAI's weights need the name with ``-quickgelu``."""
    templates: Annotated[tuple[str, ...] | Text, BeforeValidator(_one_template)]
    """Sentences with one ``{}`` each for the class name; the name of a benchmark task, whose
    published ones are meant; or a file of them, one a line or a JSON list."""
    classes: tuple[str, ...] | Text | None = None
    """What to call the classes, in the order of the data's: a list, or a file as of templates.
    null: the data's names. With a benchmark task's templates a class that its data set names gets
    its published prompt name (``SeaLake`` is "lake or sea"), whatever the order of the classes; it
    names all of them or none, and no bare numbers. Of others ``_`` becomes a space."""

    def __str__(self) -> str:
        return f"zero-shot head of {self.model} in {self.text}"

    @property
    def files(self) -> dict[str, Path]:
        """The files that decide what the head is, by the setting that names them."""
        files = {"text": self.text}
        if self.model.endswith(".json"):
            files["model"] = Path(self.model)
        if isinstance(self.templates, str) and self.templates not in BENCHMARKS:
            files["templates"] = Path(self.templates)
        if isinstance(self.classes, str):
            files["classes"] = Path(self.classes)
        return files

    def absolute(self) -> "ZeroShotHead":
        """Give the same by absolute path."""
        places = {name: path.expanduser().absolute() for name, path in self.files.items()}
        return self.model_copy(
            update={name: str(path) for name, path in places.items()} | {"text": places["text"]}
        )


def _form(value: object) -> str:
    return "(zero-shot)" if isinstance(value, ZeroShotHead | dict) else "(file)"


# One form is chosen before it is checked, so that errors speak of the form that was meant.
HeadFiles = Annotated[
    Annotated[Path, Tag("(file)")] | Annotated[ZeroShotHead, Tag("(zero-shot)")],
    Discriminator(_form),
]
