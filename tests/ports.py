"""Ports and addresses on loopback for what a test starts: no two test processes of a machine ever get the same.

Whoever is given one starts something there only later, and what listens there may then be another test's. So each
process holds blocks of them: a socket that is bound, and never listens, says whose a block is until the process ends.
"""

import itertools
import random
import socket
from collections.abc import Iterator

_PORTS = range(20_000, 30_000)
"""Below the ports that the kernel gives to connections: none of those takes one between its choice and its use."""
_BLOCK = 250
_MARK = "127.0.0.250"
"""Where a block of ports is held, by its first one, which is given to nobody."""
_NETWORKS = range(64 * 256, 224 * 256)
"""127.64.0.0 to 127.223.255.0: each is a block of addresses."""
_held: list[socket.socket] = []


def free_port() -> int:
    """A port on which nobody listens."""
    while True:
        port = next(_ports)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def free_address() -> str:
    """An address of 127.0.0.0/8 that nobody had before in this process, nor has in another."""
    return next(_addresses)


def _blocks() -> Iterator[int]:
    """One block of ports, over and over: what was given so long ago is in use, which shows, or free again."""
    starts = list(_PORTS[::_BLOCK])
    random.shuffle(starts)
    start = next(start for start in starts if _hold(_MARK, start))
    return itertools.cycle(range(start + 1, start + _BLOCK))


def _networks() -> Iterator[str]:
    while True:
        network = random.choice(_NETWORKS)
        prefix = f"127.{network // 256}.{network % 256}"
        if _hold(f"{prefix}.254", _PORTS.stop):
            yield from (f"{prefix}.{host}" for host in range(1, 251))


def _hold(address: str, port: int) -> bool:
    """Whether a block is this process's from now on."""
    mark = socket.socket()
    try:
        mark.bind((address, port))
    except OSError:
        mark.close()
        return False
    _held.append(mark)
    return True


_ports = _blocks()
_addresses = _networks()
