"""A report that follows its study: a page on this machine alone, made anew when results change."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from distmerge.errors import ConfigError, DistmergeError
from distmerge.report.page import live_page, waiting_page
from distmerge.report.study import study_report
from distmerge.results import RunStore

HOST = "127.0.0.1"
LOOK_S = 2.0
"""Seconds between two looks at the storage."""
REST = 4.0
"""Seconds of rest for each that a look took: a page of thousands of runs takes seconds to make."""
VERSION = "/version"


@dataclass(frozen=True)
class Shown:
    """A page, and what tells it from the one before."""

    version: str = ""
    content: bytes = b""


class LiveReport:
    """Serves a study's page on loopback.

    Args:
        root: folder, or URL such as ``s3://bucket/prefix``; it may still be empty.
        study: may be left out where the dataset holds one.
        port: 0: one that is free.

    Raises:
        ConfigError: the port is taken, or altair is not installed.
    """

    def __init__(self, root: str, study: str | None, port: int) -> None:
        self._root, self._study, self.shown = root, study, Shown()
        self._store, self._ended = RunStore(root, {}), threading.Event()
        self._show(self._version())
        handler = type("Handler", (_Handler,), {"live": self})
        try:
            self._server = ThreadingHTTPServer((HOST, port), handler)
        except OSError as error:
            raise ConfigError(
                f"port {port}: cannot listen on {HOST} ({error.strerror}); choose another with "
                "--port, or --port 0 for any"
            ) from error

    @property
    def address(self) -> str:
        """Where a browser finds the page."""
        return f"http://{HOST}:{self._server.server_port}/"

    def follow(self, wait: Callable[[float], object] | None = None) -> None:
        """Serve, and look at the storage again and again, until ``end`` or an interrupt.

        Looks, and the pages made anew, take at most a fifth of a core.

        Args:
            wait: waits for so many seconds between two looks.
        """
        serving = threading.Thread(target=self._server.serve_forever, daemon=True)
        serving.start()
        try:
            while not self._ended.is_set():
                start, version = time.monotonic(), self._version()
                if version != self.shown.version:
                    self._show(version)
                (wait or self._ended.wait)(max(LOOK_S, REST * (time.monotonic() - start)))
        finally:
            self._server.shutdown()
            self._server.server_close()
            serving.join(timeout=10)

    def end(self) -> None:
        """Serve no longer."""
        self._ended.set()

    def _version(self) -> str:
        try:
            return self._store.version()
        except DistmergeError as error:
            return f"unreadable: {error}"

    def _show(self, version: str) -> None:
        try:
            report = study_report(self._root, self._study)
            self._study = report.study  # another study that begins here does not end this page
            text = live_page(report, version)
        except ConfigError:
            raise
        except DistmergeError as error:  # as long as nothing is stored, or a file is half there
            text = waiting_page(str(error), version)
        self.shown = Shown(version, text.encode())


class _Handler(BaseHTTPRequestHandler):
    """Gives the page, and its version."""

    live: ClassVar[LiveReport]
    server_version = "distmerge"

    def do_GET(self) -> None:
        """Answer a browser; other names than this machine's are refused, as a page elsewhere asks.

        Source: DNS rebinding is kept out by the Host header alone.
        """
        shown, host = self.live.shown, (self.headers.get("Host") or "").partition(":")[0]
        if host not in {HOST, "localhost"}:
            self.send_error(HTTPStatus.FORBIDDEN)
        elif self.path == VERSION:
            self._send(shown.version.encode(), "text/plain")
        elif self.path == "/":
            self._send(shown.content, "text/html")
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _send(self, content: bytes, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        with suppress(ConnectionError):  # a browser that loads the page anew lets the old one go
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing of every look of a browser."""
