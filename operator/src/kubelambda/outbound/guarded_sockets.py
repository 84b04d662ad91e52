"""Sockets that reach only what whoever asked for them could reach too: never our node, never a metadata service."""

import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

from pydantic import IPvAnyNetwork

from kubelambda.core.code.refused_networks import refusing

type Address = tuple[Any, ...]


def outside(refused: Sequence[IPvAnyNetwork]) -> Callable[[Address], socket.socket]:
    """Makes sockets for addresses outside of `refused` only: after names are resolved, for every connection."""

    def make(address: Address) -> socket.socket:
        family, kind, protocol, _, place = address
        found = ip_address(place[0])
        if refusing(found, refused) is not None:
            raise OSError(f"nothing that is configured can be at {found}")
        return socket.socket(family, kind, protocol)

    return make
