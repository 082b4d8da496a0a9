"""The blocks of the pages: where they stand, in what language, and what is special about them."""

import json
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

import pytest
import typer
import yaml

from distmerge.cli import app, main
from distmerge.methods import HYPERS
from distmerge.spec import checked_study

ROOT = Path(__file__).parents[2]
LANGUAGES = {"python", "sh", "yaml", "json", "text", "mermaid"}
NOT_RUN = {"setup", "cluster", "yours"}
WORDS = {"part", "slow", "s3", *NOT_RUN}
_FENCE = re.compile(
    r"^(?P<indent>[ >]*)(?P<fence>`{3,}|~{3,})(?P<info>[^\n`]*)\n(?P<code>.*?)^[ >]*(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)
_INFO = re.compile(r'(?P<language>[\w-]*) *(?:\{(?P<words>[^}]*)\}|(?:\w+="[^"]*" *)*)')
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]  # of whichever click Typer brings
_PLACES = {"checkpoint": "model", "head": "head", "data": "photos"}
_MODELS = {
    "tower": "tower.json",
    "base": "base.safetensors",
    "tasks": [{"name": name, **_PLACES} for name in ("one", "other")],
}
_WHOLE = {"study": "tiny", "pipelines": [{"stages": ["weight_averaging"]}]}


class Block(NamedTuple):
    """A block of code, and where it stands."""

    page: str
    line: int
    heading: str
    language: str
    words: frozenset[str]
    code: str

    @property
    def place(self) -> str:
        """Page and line."""
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Give the pages that have blocks."""
    single = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "cluster/README.md")]
    return [page for page in (*single, *sorted((ROOT / "docs").rglob("*.md"))) if blocks(page)]


def blocks(page: Path) -> list[Block]:
    """Give the blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    return [_block(page, text, match) for match in _FENCE.finditer(text)]


def _block(page: Path, text: str, match: re.Match[str]) -> Block:
    before = text[: match.start()]
    headings = re.findall(r"^##+ (.*)$", before, re.MULTILINE)
    info = _INFO.fullmatch(match["info"].strip())
    assert info, f"{page.name}: what does {match['info']!r} mean?"
    return Block(
        page.relative_to(ROOT).as_posix(),
        before.count("\n") + 1,
        headings[-1] if headings else "",
        info["language"],
        frozenset(re.findall(r"[\w-]+", info["words"] or "")),
        dedent(match["code"]),
    )


def run(block: Block, names: dict[str, Any]) -> None:
    """Do what the block's language and words say; ``names`` are those of the page's Python."""
    content, is_run = block.code, not block.words & NOT_RUN
    if block.language == "python":
        # Lines count as on the page, so that a traceback tells them.
        code = compile("\n" * block.line + content, block.page, "exec")
        if is_run:
            exec(code, names)
    elif block.language == "sh":
        for words in commands(content):
            goes_on = "--serve" in words  # until it is stopped
            (_run if is_run and not goes_on else check)(words, block.place)
    elif block.language == "yaml":
        _check_yaml(block, is_run=is_run)
    elif block.language == "json":
        json.loads(content)


def commands(code: str) -> Iterator[list[str]]:
    """Yield the commands of a shell block, word by word, without comments."""
    for line in code.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def _run(words: list[str], place: str) -> None:
    if words[0] == "distmerge":
        assert main(words[1:]) == 0, f"{place}: {shlex.join(words)}"
        return
    assert is_script(words), f"{place}: no test can run {words[0]!r}; say why in a word"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words[1:])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / words[1]), run_name="__main__")
    assert ended.value.code == 0, f"{place}: {shlex.join(words)}"


def is_script(words: list[str]) -> bool:
    """Whether a command runs an entry script of ours."""
    return words[0] == "python" and len(words) > 1 and words[1].startswith("jobs/")


def check(words: list[str], place: str) -> None:
    """Check that a command of ours exists with all its options, without running it."""
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        named = [word for word in words[1:] if "=" not in word]
        assert set(named) <= set(targets), f"{place}: {shlex.join(words)}"
        return
    if is_script(words):
        words = ["distmerge", Path(words[1]).stem, *words[2:]]
    if words[0] != "distmerge":
        return
    try:
        _parse(typer.main.get_command(app), words)
    except _USAGE_ERROR as error:
        pytest.fail(f"{place}: {shlex.join(words)}: {error}")


def _parse(command: Any, words: list[str], parent: Any = None) -> None:
    context = command.make_context(words[0], list(words[1:]), parent=parent)
    rest = [*context._protected_args, *context.args] if hasattr(command, "commands") else []
    if rest:
        name, inner, arguments = command.resolve_command(context, rest)
        _parse(inner, [name, *arguments], context)


def _check_yaml(block: Block, *, is_run: bool) -> None:
    content = yaml.safe_load(block.code)
    if is_run:
        whole = _completed(content) if "part" in block.words else content
        checked_study(whole, block.place, HYPERS)


def _completed(content: dict[str, Any]) -> dict[str, Any]:
    """Give a whole study that has the keys and the tasks of ``content``."""
    models = content.get("models", {})
    if "zoo" not in models:
        tasks = [*_MODELS["tasks"], *models.get("tasks", [])]
        models = {**_MODELS, **models, "tasks": tasks}
    return {**_WHOLE, **content, "models": models}
