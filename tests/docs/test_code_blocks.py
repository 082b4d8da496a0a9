"""Every block of every page runs, or a word in its fence says why it does not."""

from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import LANGUAGES, ROOT, WORDS, Block, blocks, pages, run
from tests.docs.folder import Finished

PAGES = pages()


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def with_word(word: str) -> list[Path]:
    return [page for page in PAGES if any(word in block.words for block in blocks(page))]


def run_page(page: Path, finished: Finished, folder: Path, *, skipped: set[str]) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(finished.copied(folder / "page"))
        for block in blocks(page):
            if not block.words & skipped:
                run(block._replace(code=finished.filled_in(block.code)), names)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_uses_only_languages_and_words_that_have_a_meaning(page: Path) -> None:
    unknown = [
        f"{block.place}: {block.language!r} {', '.join(block.words - WORDS)}"
        for block in blocks(page)
        if block.language not in LANGUAGES or not block.words <= WORDS
    ]
    assert unknown == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_blocks_of_a_page_run(page: Path, finished: Finished, tmp_path: Path) -> None:
    run_page(page, finished, tmp_path, skipped={"slow", "s3"})


@pytest.mark.slow
@pytest.mark.parametrize("page", with_word("slow"), ids=name)
def test_the_slow_blocks_of_a_page_run(page: Path, finished: Finished, tmp_path: Path) -> None:
    run_page(page, finished, tmp_path, skipped={"s3"})


@pytest.mark.parametrize("page", with_word("s3"), ids=name)
def test_the_blocks_of_a_page_run_against_a_server(
    page: Path, finished: Finished, tmp_path: Path, bucket: str, s3_endpoint: str
) -> None:
    from tests.storage.clients import client

    client().put(str(finished.folder / "results"), f"{bucket}/results", recursive=True)
    places = {"s3://bucket": bucket, "s3://BUCKET": bucket, "http://127.0.0.1:8333": s3_endpoint}
    names: dict[str, Any] = {"__name__": "__main__"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        for block in blocks(page):
            if "s3" in block.words:
                run(block._replace(code=replaced(finished.filled_in(block.code), places)), names)


def replaced(code: str, places: dict[str, str]) -> str:
    for shown, real in places.items():
        code = code.replace(shown, real)
    return code


def block_of(text: str, folder: Path) -> Block:
    page = folder / "page.md"
    page.write_text(text)
    (found,) = blocks(page)
    return found


@pytest.mark.parametrize(
    "text",
    [
        "```sh\ndistmerge leaderbord results\n```\n",
        "```sh { .cluster }\ndistmerge leaderboard results --jsn\n```\n",
        "```sh { .setup }\nmake swep\n```\n",
        "```sh\nray up cluster/aws.yaml\n```\n",
        "```yaml\nstudy: x\n```\n",
        "```python { .yours }\nimport = 3\n```\n",
    ],
    ids=["command", "option", "target", "foreign", "study", "syntax"],
)
def test_a_block_with_a_mistake_fails(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.docs.blocks.ROOT", tmp_path)
    (tmp_path / "Makefile").write_text("sweep:\n")
    with pytest.raises((AssertionError, pytest.fail.Exception, SyntaxError, ValueError)):
        run(block_of(text, tmp_path), {})
