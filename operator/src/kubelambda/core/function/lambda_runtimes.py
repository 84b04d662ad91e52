"""The runtime names that Lambda has, and what is said of one that no Runtime here has; pure."""

from collections.abc import Iterable
from typing import Final

BESIDE_IMAGES: Final = "image"
"""The Runtime of what stands beside container images, which no function names: `IMAGE_RUNTIME`, without its models."""
_BLOCKED = """
nodejs nodejs4.3 nodejs4.3-edge nodejs6.10 nodejs8.10 nodejs10.x nodejs12.x nodejs14.x nodejs16.x
python2.7 python3.6 python3.7 python3.8 java8 go1.x ruby2.5 ruby2.7
dotnetcore1.0 dotnetcore2.0 dotnetcore2.1 dotnetcore3.1 dotnet6 provided
"""
_IN_USE = """
nodejs18.x nodejs20.x nodejs22.x nodejs24.x nodejs26.x
python3.9 python3.10 python3.11 python3.12 python3.13 python3.14 python3.15
java8.al2 java8.al2023 java11 java11.al2023 java17 java17.al2023 java21 java25
ruby3.2 ruby3.3 ruby3.4 ruby4.0 dotnet8 dotnet10 provided.al2 provided.al2023
"""
BLOCKED = frozenset(_BLOCKED.split())
"""Lambda neither creates nor updates functions of these. Who brings a Runtime of such a name can use it here."""

KNOWN = BLOCKED | frozenset(_IN_USE.split())
"""Every name of Lambda's API."""


def names_of(runtimes: Iterable[str]) -> list[str]:
    """Those that a function can name: what stands beside container images is none."""
    return sorted(name for name in runtimes if name != BESIDE_IMAGES)


def no_longer_supported(name: str) -> str:
    """Lambda's text for a blocked runtime."""
    return (
        f"The runtime parameter of {name} is no longer supported for creating or updating AWS Lambda functions. "
        "We recommend you use a supported runtime while creating or updating functions."
    )


def absence(name: str, runtimes: Iterable[str]) -> str:
    """Why a function cannot have a runtime that is not among those of the cluster."""
    there = f"there are: {', '.join(names_of(runtimes)) or 'none'}"
    if name in BLOCKED:
        return f"{no_longer_supported(name)} In this cluster {there}"
    if name in KNOWN:
        return f"Runtime {name} is one of Lambda's and has no image here; {there}. docs/runtimes.md tells how to add it"
    return f"Runtime {name} does not exist; {there}"
