"""Where code is never fetched from: whoever writes a Function must not reach what only our own pods can."""

import errno
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_TRANSLATED = tuple(IPv6Network(network) for network in ("64:ff9b::/96", "::ffff:0:0:0/96", "::/96"))
"""Networks whose last four bytes are an IPv4 address: NAT64, SIIT, and the oldest form of all."""


def refusing(
    address: IPv4Address | IPv6Address, networks: Iterable[IPv4Network | IPv6Network]
) -> IPv4Network | IPv6Network | None:
    """The network that refuses an address, in whichever form of writing it reaches that; None when it is allowed."""
    forms = (address, *_embedded(address))
    return next((network for network in networks if any(form in network for form in forms)), None)


def never_fetched(address: str) -> OSError:
    """The refusal of an address that code should come from; its text is for whoever wrote that."""
    return OSError(errno.EACCES, f"code is never fetched from {address} (codeUrlRefusedNetworks)")


def _embedded(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses that an IPv6 address may stand for."""
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour]
    if any(address in network for network in _TRANSLATED):
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [form for form in found if form is not None]
