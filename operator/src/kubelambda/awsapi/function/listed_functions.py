"""What ListFunctions needs of every function of the cluster, small enough to keep (§1.3.1).

Pages are read out of memory: the API server reads one of a list that does not change out of etcd, which took it up to
190 ms of CPU.
"""

import base64
import binascii
import json
import zlib
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

_METADATA: Final = ("name", "namespace", "uid", "generation", "creationTimestamp")
_CODE: Final = ("imageUri", "stored")
_NOT_LISTED: Final = frozenset({"code", "permissions", "tags"})
_STATUS: Final = ("observedGeneration", "codeSize", "codeSha256", "lastModified")
_STATES: Final = ("state", "lastUpdateStatus")
_DEPLOYED: Final = ("layers", "signing")
_LEVEL: Final = 1
"""Of zlib: a third larger than its best, in a third of the time."""


class InvalidMarker(ValueError):
    """It is none that a list returned."""


def packed(body: Mapping[str, Any]) -> bytes:
    """A Function object without what no FunctionConfiguration shows, its code above all."""
    spec, status = body["spec"], body.get("status") or {}
    deployed = status.get("deployed")
    kept = {name: value for name, value in status.items() if name in _STATUS or name.startswith(_STATES)}
    small = {
        "metadata": _members(body["metadata"], _METADATA),
        "spec": {name: value for name, value in spec.items() if name not in _NOT_LISTED}
        | {"code": _members(spec.get("code") or {}, _CODE)},
        "status": kept | ({} if deployed is None else {"deployed": _members(deployed, _DEPLOYED)}),
    }
    return zlib.compress(json.dumps(small, separators=(",", ":")).encode(), _LEVEL)


def unpacked(data: bytes) -> dict[str, Any]:
    """The object again."""
    found: dict[str, Any] = json.loads(zlib.decompress(data))
    return found


def uid_of(data: bytes) -> str | None:
    """Of the object; None where there is nothing."""
    return unpacked(data)["metadata"]["uid"] if data else None


def _members(value: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value[name] for name in names if name in value}


class NamesInOrder:
    """Names of objects by namespace, and pages of them."""

    def __init__(self) -> None:
        self._names: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, namespace: str, name: str) -> None:
        """One that is not there yet."""
        insort(self._names[namespace], name)

    def remove(self, namespace: str, name: str) -> None:
        """One that is there."""
        names = self._names[namespace]
        del names[bisect_right(names, name) - 1]
        if not names:
            del self._names[namespace]

    def page(self, namespace: str, marker: str | None, size: int) -> tuple[list[str], str | None]:
        """At most `size` names after the page that `marker` came from, and the next page's marker.

        What is there all the while is on exactly one page, whatever comes and goes. Raises `InvalidMarker`.
        """
        names = self._names.get(namespace, [])
        start = bisect_right(names, _name(marker)) if marker else 0
        found = names[start : start + size]
        return found, _marker(found[-1]) if start + size < len(names) else None


def _marker(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _name(marker: str) -> str:
    try:
        return base64.b64decode(marker.encode(), b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError) as error:
        raise InvalidMarker(marker) from error
