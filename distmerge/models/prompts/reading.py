"""Templates and class names from lists, files and the published ones of the benchmark tasks."""

import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from distmerge.errors import CheckpointError
from distmerge.spec import BENCHMARKS, ZeroShotHead

SLOT = "{}"
_SHOWN = 5  # names in a message


class Prompts(NamedTuple):
    """What a text encoder reads for one task."""

    classes: tuple[str, ...]
    """What each class is called, in the order of the data's."""
    templates: tuple[str, ...]
    """Sentences with one ``{}`` each."""

    @property
    def texts(self) -> list[str]:
        """All templates of the first class, then all of the second, and so on."""
        return [text.replace(SLOT, name) for name in self.classes for text in self.templates]


def read_prompts(head: ZeroShotHead, names: tuple[str, ...] | None) -> Prompts:
    """Give what the text encoder reads.

    Args:
        head: its description.
        names: what the data call the classes; None: not known yet, and not checked.

    Raises:
        CheckpointError: a file cannot be read, or says which templates and class names do not fit.
    """
    templates = _templates(head)
    problems = []
    if head.classes is not None:
        classes = _lines(head.classes, "classes")
    elif head.templates in BENCHMARKS:
        assert isinstance(head.templates, str)
        classes = _spoken(head.templates, names or ())
        problems = list(_unspoken(head.templates, names or ()))
    else:
        classes = tuple(name.replace("_", " ") for name in names or ())
    problems += prompt_problems(classes, templates)
    if names is not None and len(classes) != len(names):
        problems.append(f"classes: got {len(classes)} names, expected {len(names)}")
    if problems:
        raise CheckpointError("; ".join(problems))
    return Prompts(classes, templates)


def prompt_problems(classes: Sequence[str], templates: Sequence[str]) -> Iterator[str]:
    """Yield the templates and class names that no head can be made of."""
    if not templates:
        yield "templates: got none"
    for template in templates:
        if (found := template.count(SLOT)) != 1:
            yield f"templates: {template!r} has {found} times {SLOT}, expected once"
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if twice:
        yield f"classes: several are called {' or '.join(twice)}; give each a name of its own"


def _templates(head: ZeroShotHead) -> tuple[str, ...]:
    if isinstance(head.templates, str) and head.templates in BENCHMARKS:
        return tuple(_published(head.templates)["templates"])
    return _lines(head.templates, f"templates: neither one of {', '.join(BENCHMARKS)} nor a file")


def _spoken(benchmark: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Give the published names of the classes that a benchmark's data set names."""
    known = _known(benchmark, names)
    return tuple(known.get(_plain(name), name.replace("_", " ")) for name in names)


def _unspoken(benchmark: str, names: tuple[str, ...]) -> Iterator[str]:
    """Yield that some classes have published names and others not, or that numbers have none."""
    known = _known(benchmark, names)
    others = [name for name in names if _plain(name) not in known]
    numbers = [name for name in others if _plain(name).isdecimal()]
    if numbers or 0 < len(others) < len(names):
        which = ", ".join(others[:_SHOWN]) + ", ..." * (len(others) > _SHOWN)
        yield (
            f"classes: {benchmark} has no published names for {len(others)} of {len(names)} "
            f"({which}); list under classes what to call each of them all"
        )


def _known(benchmark: str, names: tuple[str, ...]) -> dict[str, str]:
    """Give a benchmark's published names, by what data may call a class."""
    published = _published(benchmark)
    spoken = {_plain(name): name for name in published["classes"]}
    spoken |= dict(zip(map(_plain, published.get("names", ())), published["classes"], strict=False))
    numbers = {_plain(name) for name in names}
    if numbers == {str(index) for index in range(len(published["classes"]))}:
        spoken |= {str(index): name for index, name in enumerate(published["classes"])}
    return spoken


def _plain(name: str) -> str:
    words = " ".join(name.replace("_", " ").replace("/", " ").lower().split())
    return str(int(words)) if words.isdecimal() else words


def _published(benchmark: str) -> dict[str, Any]:
    place = files("distmerge.models") / "prompts" / f"{benchmark}.json"
    content: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return content


def _lines(source: Sequence[str] | str | None, what: str) -> tuple[str, ...]:
    """Give a list itself, or that in a file: one a line, or a JSON list.

    Raises:
        CheckpointError: the file cannot be read, or is no such list.
    """
    if not isinstance(source, str):
        return tuple(source or ())
    try:
        text = Path(source).read_text(encoding="utf-8")
        if text.lstrip().startswith("["):
            return tuple(str(line) for line in json.loads(text))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{what}: {source}: cannot read it ({error})") from error
    return tuple(line.strip() for line in text.splitlines() if line.strip())
