"""Hosts as network namespaces on a bridge: each has an address and a link that can be cut."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

_NETWORK = "10.213.{}"  # a private range; the third number is drawn from the process id


class Hosts(NamedTuple):
    """Namespaces and their addresses, in order."""

    names: tuple[str, ...]
    addresses: tuple[str, ...]

    def cut(self, number: int) -> None:
        """Take down the link of a host, as when a cable is pulled."""
        _ip("link", "set", f"{self.names[number]}p", "down")


def missing() -> str:
    """Give what this machine lacks for namespaces; nothing if they work."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need `ip` of iproute2"
    name = f"dm{os.getpid()}"
    try:
        _ip("netns", "add", name)
        _ip("netns", "del", name)
    except subprocess.CalledProcessError as error:
        return f"this kernel makes no network namespaces: {error.stderr.strip()}"
    return ""


@contextmanager
def hosts(count: int) -> Iterator[Hosts]:
    """Hold namespaces that reach each other and this machine."""
    number = os.getpid() % 250
    network, bridge = _NETWORK.format(number), f"dm{number}b"
    names = tuple(f"dm{number}h{i}" for i in range(count))
    addresses = tuple(f"{network}.{i + 2}" for i in range(count))
    with ExitStack() as stack:
        _made(stack, ("link", "add", bridge, "type", "bridge"), ("link", "del", bridge))
        _ip("addr", "add", f"{network}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for name, address in zip(names, addresses, strict=True):
            _made(stack, ("netns", "add", name), ("netns", "del", name))
            inner, outer = f"{name}i", f"{name}p"
            pair = ("link", "add", outer, "type", "veth", "peer", "name", inner)
            _made(stack, pair, ("link", "del", outer))
            _ip("link", "set", outer, "master", bridge, "up")
            _ip("link", "set", inner, "netns", name)
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", inner)
            _ip("-n", name, "link", "set", inner, "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield Hosts(names, addresses)


def pids(name: str) -> list[int]:
    """Give the processes of a host."""
    return [int(line) for line in _ip("netns", "pids", name).split()]


def _made(stack: ExitStack, make: tuple[str, ...], remove: tuple[str, ...]) -> None:
    _ip(*make)
    stack.callback(_removed, *remove)


def _removed(*command: str) -> None:
    with contextlib.suppress(subprocess.CalledProcessError):  # it may have gone with another
        _ip(*command)


def _ip(*command: str) -> str:
    return subprocess.run(["ip", *command], check=True, capture_output=True, text=True).stdout
