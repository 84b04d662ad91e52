"""Addresses that code is never fetched from are recognised in every form."""

from ipaddress import ip_address, ip_network

import pytest

from kubelambda.api.settings import Settings
from kubelambda.core.code.refused_networks import refusing

DEFAULT = Settings().code_url_refused_networks


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254",
        "fd00:ec2::23", "fd20:ce::254", "fe80::a9fe:a9fe", "127.0.0.1", "0.0.0.0", "::", "::1",
        "::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1", "::169.254.169.254",
        "::ffff:0:169.254.169.254",
    ],
)  # fmt: skip
def test_metadata_services_and_oneself_are_refused(address: str) -> None:
    """As such, mapped, translated, tunnelled."""
    assert refusing(ip_address(address), DEFAULT) is not None


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.1.1", "8.8.8.8", "2001:db8::1", "64:ff9b::8.8.8.8"])
def test_everything_else_is_allowed(address: str) -> None:
    """The cluster's own services too: archives may be served there."""
    assert refusing(ip_address(address), DEFAULT) is None


def test_the_refusing_network_is_named() -> None:
    """For who has to explain it."""
    assert refusing(ip_address("10.1.2.3"), [ip_network("10.0.0.0/8")]) == ip_network("10.0.0.0/8")
