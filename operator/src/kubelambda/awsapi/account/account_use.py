"""What the functions, versions and layers of each account use of its limits, kept current by watches (§1.3.2).

Reading all of them for each question takes seconds where there are thousands: sums are kept, a few numbers, and what
lists show of functions.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kubelambda.awsapi.function.listed_functions import NamesInOrder, packed, uid_of, unpacked
from kubelambda.core.function.object_name import function_name_of
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.reflector import Name, Reflector
from kubelambda.kube.resources import FUNCTION_VERSIONS, FUNCTIONS, LAYER_VERSIONS

_SEEN_S: Final = 5.0
"""How long a writer waits for what follows everything: an API server may tell of a write seconds after it."""
_SYNCED_S: Final = 10.0
_POLL_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class FunctionUse:
    """What one function uses."""

    code_size: int
    reserved: int
    resource_version: int
    listed: bytes = b""
    """Its object as lists need it; of one that is being deleted nothing."""
    signing: tuple[str, str] | None = None
    """Lambda's name of it and the code signing configuration that it names, where it has one."""


@dataclass(slots=True)
class AccountTotal:
    """Sums of an account."""

    functions: int = 0
    code_size: int = 0
    """Of functions, their versions and layers, in bytes."""
    reserved: int = 0


class AccountUse:
    """Sums of all accounts, by namespace."""

    def __init__(self, client: KubeClient) -> None:
        self._totals: defaultdict[str, AccountTotal] = defaultdict(AccountTotal)
        self._names = NamesInOrder()
        self.functions = Reflector(client, FUNCTIONS, function_use, on_change=self._function_changed)
        self.versions = Reflector(client, FUNCTION_VERSIONS, _version_size, on_change=self._size_changed)
        self.layers = Reflector(client, LAYER_VERSIONS, _layer_size, on_change=self._size_changed)

    async def run(self) -> None:
        """Follows everything until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.functions.run())
            tasks.create_task(self.versions.run())
            tasks.create_task(self.layers.run())

    async def total(self, namespace: str) -> AccountTotal:
        """The sums of an account, once everything was seen. Raises `TimeoutError`."""
        async with asyncio.timeout(_SYNCED_S):
            for each in (self.functions, self.versions, self.layers):
                await each.synced.wait()
        return self._totals[namespace] if namespace in self._totals else AccountTotal()

    def reserved_by(self, body: Object) -> int:
        """What one function reserves in the sums."""
        found = self.functions.items.get(_name(body))
        return found.reserved if found else 0

    async def listed(self, namespace: str, marker: str | None, size: int) -> tuple[list[Object], str | None]:
        """At most `size` functions by name, each with what its configuration shows, and the next page's marker.

        Raises `InvalidMarker` or, while not everything was seen, `TimeoutError`.
        """
        async with asyncio.timeout(_SYNCED_S):
            await self.functions.synced.wait()
        names, following = self._names.page(namespace, marker, size)
        return [unpacked(self.functions.items[namespace, name].listed) for name in names], following

    async def signed(self, namespace: str) -> list[tuple[str, str]]:
        """Functions of an account that have a code signing configuration, each with what it calls that.

        Raises `TimeoutError`.
        """
        async with asyncio.timeout(_SYNCED_S):
            await self.functions.synced.wait()
        found = (use.signing for name, use in self.functions.items.items() if name[0] == namespace)
        return [each for each in found if each is not None]

    async def seen(self, body: Object) -> None:
        """Returns when sums and lists know the function as `body` is, or after some seconds: writers read it again."""
        await self._until(body, lambda found: found is not None and found.resource_version >= _resource_version(body))

    async def seen_deleted(self, body: Object) -> None:
        """Returns when lists have not the function any more that `body` was, or after some seconds."""
        uid = body["metadata"]["uid"]
        await self._until(body, lambda found: found is None or uid_of(found.listed) != uid)

    async def _until(self, body: Object, holds: Callable[[FunctionUse | None], bool]) -> None:
        deadline = time.monotonic() + _SEEN_S
        while time.monotonic() < deadline:
            if holds(self.functions.items.get(_name(body))):
                return
            await asyncio.sleep(_POLL_S)

    def _function_changed(self, name: Name, before: FunctionUse | None, after: FunctionUse | None) -> None:
        total = self._totals[name[0]]
        for each, sign in ((before, -1), (after, 1)):
            if each is not None:
                total.functions += sign
                total.code_size += sign * each.code_size
                total.reserved += sign * each.reserved
        was, is_now = before is not None and before.listed != b"", after is not None and after.listed != b""
        if is_now and not was:
            self._names.add(*name)
        elif was and not is_now:
            self._names.remove(*name)

    def _size_changed(self, name: Name, before: int | None, after: int | None) -> None:
        self._totals[name[0]].code_size += (after or 0) - (before or 0)


def function_use(body: Mapping[str, Any]) -> FunctionUse:
    """The view of a Function object."""
    spec, status = body["spec"], body.get("status") or {}
    return FunctionUse(
        code_size=status.get("codeSize") or 0,
        reserved=spec.get("reservedConcurrentExecutions") or 0,
        resource_version=_resource_version(body),
        listed=b"" if "deletionTimestamp" in body["metadata"] else packed(body),
        signing=signing_of(body),
    )


def signing_of(body: Mapping[str, Any]) -> tuple[str, str] | None:
    """Lambda's name of a function and the code signing configuration that it names, where it has one."""
    named = body["spec"].get("codeSigningConfigArn")
    return (function_name_of(body), named) if named is not None else None


def _version_size(body: Mapping[str, Any]) -> int:
    """Of a version of its own; one that only repeats another has no archive."""
    return int((body.get("status") or {}).get("codeSize") or 0)


def _layer_size(body: Mapping[str, Any]) -> int:
    return int(body["spec"]["content"]["size"])


def _name(body: Mapping[str, Any]) -> Name:
    return body["metadata"]["namespace"], body["metadata"]["name"]


def _resource_version(body: Mapping[str, Any]) -> int:
    """A number, and a later one after each change of the object: the API server promises both."""
    return int(body["metadata"]["resourceVersion"])
