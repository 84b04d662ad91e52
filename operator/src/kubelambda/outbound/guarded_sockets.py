"""Sockets that reach only what whoever asked for them could reach too: never our node, never a metadata service."""

import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

from pydantic import IPvAnyNetwork

from kubelambda.core.code.refused_networks import refusing

type Address = tuple[Any, ...]


def _not_configured(address: str) -> OSError:
    return OSError(f"nothing that is configured can be at {address}")


def outside(
    refused: Sequence[IPvAnyNetwork], error: Callable[[str], OSError] = _not_configured
) -> Callable[[Address], socket.socket]:
    """Makes sockets for addresses outside of `refused` only: after names are resolved, and for redirects too.

    `error` words the refusal of an address.
    """

    def make(address: Address) -> socket.socket:
        family, kind, protocol, _, place = address
        found = ip_address(str(place[0]).partition("%")[0])
        if refusing(found, refused) is not None:
            raise error(str(found))
        return socket.socket(family, kind, protocol)

    return make
