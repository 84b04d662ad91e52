"""Clients of AWS's services and of what speaks their protocols, kept while they are used.

botocore is imported when the first record goes to such a service: it costs more memory than everything else here.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from pydantic import IPvAnyNetwork

from kubelambda.core.event.destination import ServiceCall
from kubelambda.outbound.aws_client import ServicePlace, aws_client

if TYPE_CHECKING:
    from aiobotocore.session import AioSession

_KEPT_MAX = 16
_CONNECTIONS = 32
_ANSWER_S = 10.0


class ServiceFailed(Exception):
    """A service refused a call, or does not answer. The message says why."""


@dataclass(slots=True, eq=False)
class _Kept:
    client: Any
    stack: AsyncExitStack
    users: int = 0
    queue_urls: dict[str, str] = field(default_factory=dict)


class ServiceClients:
    """Every method comes from one event loop. Nothing in `refused` is ever reached."""

    def __init__(self, refused: Sequence[IPvAnyNetwork] = ()) -> None:
        self._refused = refused
        self._session: AioSession | None = None
        self._kept: OrderedDict[tuple[str, ServicePlace], _Kept] = OrderedDict()
        self._making = asyncio.Lock()

    async def close(self) -> None:
        """Closes every client."""
        for kept in self._kept.values():
            await kept.stack.aclose()
        self._kept.clear()

    async def call(self, place: ServicePlace, call: ServiceCall) -> dict[str, Any]:
        """Calls a service once. Raises `ServiceFailed`."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - only who needs it pays for it

        try:
            kept = await self._client(call.service, place)
            kept.users += 1
            try:
                answer = await self._answer(kept, call)
            finally:
                kept.users -= 1
        except ClientError as error:
            details = error.response.get("Error", {})
            raise ServiceFailed(f"{error.operation_name}: {details.get('Code')}: {details.get('Message')}") from error
        except (BotoCoreError, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ServiceFailed(f"{call.service} does not answer: {error or type(error).__name__}") from error
        if answer.get("FailedEntryCount"):
            entry = answer["Entries"][0]
            raise ServiceFailed(f"{call.operation}: {entry.get('ErrorCode')}: {entry.get('ErrorMessage')}")
        return answer

    async def _answer(self, kept: _Kept, call: ServiceCall) -> dict[str, Any]:
        arguments = dict(call.arguments)
        if call.queue:
            if call.queue not in kept.queue_urls:
                kept.queue_urls[call.queue] = (await kept.client.get_queue_url(QueueName=call.queue))["QueueUrl"]
            arguments["QueueUrl"] = kept.queue_urls[call.queue]
        answer: dict[str, Any] = await getattr(kept.client, call.operation)(**arguments)
        return answer

    async def _client(self, service: str, place: ServicePlace) -> _Kept:
        async with self._making:
            found = self._kept.get((service, place))
            if found is None:
                await self._make_room()
                found = self._kept[service, place] = await self._make(service, place)
            self._kept.move_to_end((service, place))
            return found

    async def _make_room(self) -> None:
        idle = [key for key, kept in self._kept.items() if not kept.users]
        for key in idle[: max(0, len(self._kept) - _KEPT_MAX + 1)]:
            await self._kept.pop(key).stack.aclose()

    async def _make(self, service: str, place: ServicePlace) -> _Kept:
        from aiobotocore.session import AioSession  # noqa: PLC0415

        self._session = self._session or AioSession()
        stack = AsyncExitStack()
        client = await stack.enter_async_context(
            aws_client(self._session, service, place, self._refused, connections=_CONNECTIONS, answer_s=_ANSWER_S)
        )
        return _Kept(client, stack)
