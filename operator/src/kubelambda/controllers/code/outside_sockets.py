"""Sockets that lead nowhere that only we can reach: for what people name."""

import errno
import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

from pydantic import IPvAnyNetwork

from kubelambda.core.code.refused_networks import refusing


def outside(refused: Sequence[IPvAnyNetwork]) -> Callable[[tuple[Any, ...]], socket.socket]:
    """Makes sockets for addresses outside of `refused` only: after names are resolved, and for redirects too."""

    def make(address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, target = address
        found = ip_address(str(target[0]).partition("%")[0])
        if refusing(found, refused) is not None:
            raise OSError(errno.EACCES, f"code is never fetched from {found} (codeUrlRefusedNetworks)")
        return socket.socket(family, kind, protocol)

    return make
