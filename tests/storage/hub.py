"""The few routes of a Hugging Face hub that its file system asks for, served from a folder."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

from tests.storage.busy import serving

REPOSITORY = "owner/name"
TOKEN = "hf_token_of_the_test"
_COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Answer(NamedTuple):
    status: int
    content: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@contextmanager
def hub(folder: Path) -> Iterator[str]:
    """Hold a hub with one private repository, the files of ``folder``; yields its endpoint."""

    class Hub(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            known = self.headers.get("authorization") == f"Bearer {TOKEN}"
            path = unquote(self.path.partition("?")[0])
            found = _answer(folder, path, body) if known else _missing("Repo", 401)
            self.send_response(found.status)
            for name, value in (*found.headers, ("content-length", str(len(found.content)))):
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(found.content)

        do_GET = do_HEAD = do_POST = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Hub)) as endpoint:
        yield endpoint


def _answer(folder: Path, path: str, body: bytes) -> _Answer:
    match path.removeprefix("/api/models").strip("/").split("/"):
        case ["owner", "name"] | ["owner", "name", "revision", _]:
            found = _json({"id": REPOSITORY, "sha": _COMMIT, "siblings": []})
        case ["owner", "name", "tree", *_]:
            found = _json([_entry(file) for file in sorted(folder.iterdir())])
        case ["owner", "name", "paths-info", _]:
            asked = [folder / name for name in parse_qs(body.decode()).get("paths", [])]
            found = _json([_entry(file) for file in asked if file.is_file()])
        case ["owner", "name", "resolve", _, name] if (folder / name).is_file():
            headers = (("etag", f'"{name}"'), ("x-repo-commit", _COMMIT))
            found = _Answer(200, (folder / name).read_bytes(), headers)
        case ["owner", "name", "resolve", *_]:
            found = _missing("Entry")
        case _:
            found = _missing("Repo")
    return found


def _json(content: object) -> _Answer:
    return _Answer(200, json.dumps(content).encode(), (("content-type", "application/json"),))


def _missing(what: str, status: int = 404) -> _Answer:
    return _Answer(status, b"", (("x-error-code", f"{what}NotFound"),))


def _entry(file: Path) -> dict[str, object]:
    return {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": "0" * 40}
