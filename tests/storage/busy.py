"""A proxy that turns clients away for a while, then passes their bytes on unchanged."""

import select
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@contextmanager
def busy_at_first(endpoint: str, *, seconds: float) -> Iterator[str]:
    """Hold a proxy that answers 503 in its first seconds; yields its endpoint."""
    opens, closed = time.monotonic() + seconds, threading.Event()
    host, _, port = endpoint.removeprefix("http://").partition(":")

    class Proxy(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if time.monotonic() < opens:
                self.request.recv(65536)
                self.request.sendall(BUSY)
                return
            with socket.create_connection((host, int(port)), 10) as server:
                pass_on(self.request, server, closed)

    with serving(Server(("127.0.0.1", 0), Proxy)) as place:
        try:
            yield place
        finally:
            closed.set()


class Server(socketserver.ThreadingTCPServer):
    """A server whose threads nobody waits for."""

    daemon_threads = True
    request_queue_size = 32


@contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[str]:
    """Let a server of loopback serve in a thread; yields its endpoint."""
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(10)


def pass_on(client: socket.socket, server: socket.socket, closed: threading.Event) -> None:
    other = {client: server, server: client}
    while not closed.is_set():
        ready, _, _ = select.select(list(other), [], [], 0.2)
        for end in ready:
            content = end.recv(65536)
            if not content:
                return
            other[end].sendall(content)
