"""A proxy in front of a store that can be told to answer 503, and to stop doing so."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.storage.busy import BUSY, Server, pass_on, serving


class Gate:
    """Whether requests come through; connections that are there are cut when it closes."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.refused = 0
        """Requests that were answered 503."""
        self._closed = False
        self._cut = threading.Event()

    def close(self) -> None:
        """Answer 503 from now on."""
        self._closed = True
        self._cut.set()

    def open(self) -> None:
        """Let requests through again."""
        self._cut = threading.Event()
        self._closed = False

    def serve(self, client: socket.socket, host: str, port: int) -> None:
        """Answer a client, or let the server do so."""
        if self._closed:
            client.recv(65536)
            client.sendall(BUSY)
            self.refused += 1
            return
        with socket.create_connection((host, port), 10) as server:
            pass_on(client, server, self._cut)


@contextmanager
def gate(endpoint: str) -> Iterator[Gate]:
    """Hold an open gate in front of a server."""
    found = Gate()
    host, _, port = endpoint.removeprefix("http://").partition(":")

    class Proxy(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):  # the client or the server may be gone
                found.serve(self.request, host, int(port))

    with serving(Server(("127.0.0.1", 0), Proxy)) as found.endpoint:
        try:
            yield found
        finally:
            found.close()
