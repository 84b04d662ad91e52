"""What the functions, versions and layers of each account use of its limits, kept current by watches (§1.3.2).

Reading all of them for each question takes seconds where there are thousands: only sums and a few numbers are kept.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kubelambda.core.function.object_name import function_name_of
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.reflector import Name, Reflector
from kubelambda.kube.resources import FUNCTION_VERSIONS, FUNCTIONS, LAYER_VERSIONS

HEAVY_BYTES: Final = 65_536
"""Code in the spec from which on functions are read in smaller groups."""
_SEEN_S: Final = 2.0
_POLL_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class FunctionUse:
    """What one function uses."""

    code_size: int
    reserved: int
    heavy: bool
    """Whether it carries much code in its spec."""
    resource_version: int
    signing: tuple[str, str] | None = None
    """Lambda's name of it and the code signing configuration that it names, where it has one."""


@dataclass(slots=True)
class AccountTotal:
    """Sums of an account."""

    functions: int = 0
    code_size: int = 0
    """Of functions, their versions and layers, in bytes."""
    reserved: int = 0
    heavy: int = 0
    """Functions that carry much code in their specs."""


class AccountUse:
    """Sums of all accounts, by namespace."""

    def __init__(self, client: KubeClient) -> None:
        self._totals: defaultdict[str, AccountTotal] = defaultdict(AccountTotal)
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
        async with asyncio.timeout(_SEEN_S * 5):
            for each in (self.functions, self.versions, self.layers):
                await each.synced.wait()
        return self._totals[namespace] if namespace in self._totals else AccountTotal()

    def reserved_by(self, body: Object) -> int:
        """What one function reserves in the sums."""
        found = self.functions.items.get(_name(body))
        return found.reserved if found else 0

    def has_heavy(self, namespace: str) -> bool:
        """Whether functions of the account may carry much code in their specs."""
        if not self.functions.synced.is_set():
            return True
        return namespace in self._totals and self._totals[namespace].heavy > 0

    async def signed(self, namespace: str) -> list[tuple[str, str]]:
        """Functions of an account that have a code signing configuration, each with what it calls that.

        Raises `TimeoutError`.
        """
        async with asyncio.timeout(_SEEN_S * 5):
            await self.functions.synced.wait()
        found = (use.signing for name, use in self.functions.items.items() if name[0] == namespace)
        return [each for each in found if each is not None]

    async def seen(self, body: Object) -> None:
        """Returns when the sums know the function as `body` is, or after some seconds: who writes reads it again."""
        deadline = time.monotonic() + _SEEN_S
        while time.monotonic() < deadline:
            found = self.functions.items.get(_name(body))
            if found is not None and found.resource_version >= _resource_version(body):
                return
            await asyncio.sleep(_POLL_S)

    def _function_changed(self, name: Name, before: FunctionUse | None, after: FunctionUse | None) -> None:
        total = self._totals[name[0]]
        for each, sign in ((before, -1), (after, 1)):
            if each is not None:
                total.functions += sign
                total.code_size += sign * each.code_size
                total.reserved += sign * each.reserved
                total.heavy += sign * each.heavy

    def _size_changed(self, name: Name, before: int | None, after: int | None) -> None:
        self._totals[name[0]].code_size += (after or 0) - (before or 0)


def function_use(body: Mapping[str, Any]) -> FunctionUse:
    """The view of a Function object."""
    spec, status = body["spec"], body.get("status") or {}
    code = spec.get("code") or {}
    return FunctionUse(
        code_size=status.get("codeSize") or 0,
        reserved=spec.get("reservedConcurrentExecutions") or 0,
        heavy=len(code.get("inline") or "") + len(code.get("zipFile") or "") > HEAVY_BYTES,
        resource_version=_resource_version(body),
        signing=(function_name_of(body), spec["codeSigningConfigArn"]) if "codeSigningConfigArn" in spec else None,
    )


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
