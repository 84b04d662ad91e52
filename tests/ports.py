"""Ports for processes that a test starts."""

import random
import socket

_RANGE = range(20_000, 30_000)
"""Below the ports that the kernel gives to connections: none of those takes one between its choice and its use."""
_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on, and that this process gave nobody before. Others choose as much at random."""
    while True:
        port = random.choice(_RANGE)
        if port in _given:
            continue
        _given.add(port)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
