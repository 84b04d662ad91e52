"""A queue of SQS, or of anything that speaks its protocol."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import IPvAnyNetwork

from kubelambda.outbound.guarded_sockets import outside

_CONNECTIONS = 1300
_ANSWER_S = 30.0
"""For an answer, longer than the longest receive waits."""
_DELETE_MAX = 10
_DELETE_ATTEMPTS = 4
_PAUSE_S = 0.5

log = logging.getLogger(__name__)


class QueueUnreachable(Exception):
    """The source does not exist, refuses us, or does not answer. The message is for the status of the mapping."""


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """Where a queue is, and who we are there."""

    arn: str
    endpoint_url: str | None
    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


class SqsQueue:
    """One queue. Every method raises `QueueUnreachable` unless it says otherwise.

    It cannot be in `refused`: whoever writes a mapping must not reach what only we can.
    """

    def __init__(self, session: AioSession, address: SourceAddress, refused: Sequence[IPvAnyNetwork] = ()) -> None:
        self._refused = refused
        self._session = session
        self._address = address
        self._stack = AsyncExitStack()
        self._client: Any = None
        self._url = ""

    async def __aenter__(self) -> Self:
        address = self._address
        _, _, _, region, _, name = address.arn.split(":")
        config = AioConfig(
            connect_timeout=5,
            read_timeout=_ANSWER_S,
            retries={"max_attempts": 0},
            max_pool_connections=_CONNECTIONS,
            connector_args={"socket_factory": outside(self._refused)},
        )
        try:
            self._client = await self._stack.enter_async_context(
                self._session.create_client(
                    "sqs",
                    region_name=region,
                    endpoint_url=address.endpoint_url,
                    aws_access_key_id=address.access_key_id,
                    aws_secret_access_key=address.secret_access_key,
                    aws_session_token=address.session_token,
                    config=config,
                )
            )
            self._url = (await self._call("get_queue_url", QueueName=name))["QueueUrl"]
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def visibility_timeout_s(self) -> int:
        """For how long the queue hides a message that was received."""
        return int((await self._attributes("VisibilityTimeout"))["VisibilityTimeout"])

    async def waiting(self) -> int:
        """Messages that wait, approximately."""
        return int((await self._attributes("ApproximateNumberOfMessages"))["ApproximateNumberOfMessages"])

    async def receive(self, count: int, wait_s: int, visibility_s: int) -> list[dict[str, Any]]:
        """At most `count` messages, hidden from others for `visibility_s`; none after `wait_s` without any."""
        answer = await self._call(
            "receive_message",
            MaxNumberOfMessages=count,
            WaitTimeSeconds=wait_s,
            VisibilityTimeout=visibility_s,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        found: list[dict[str, Any]] = answer.get("Messages") or []
        return found

    async def delete(self, receipt_handles: Sequence[str]) -> int:
        """Deletes messages; how many stayed in spite of it, to come back. Never raises."""
        left = 0
        for start in range(0, len(receipt_handles), _DELETE_MAX):
            left += await self._delete(receipt_handles[start : start + _DELETE_MAX])
        return left

    async def _delete(self, handles: Sequence[str]) -> int:
        wanted = {str(number): handle for number, handle in enumerate(handles)}
        why = ""
        for attempt in range(_DELETE_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_PAUSE_S * 2**attempt)
            entries = [{"Id": number, "ReceiptHandle": handle} for number, handle in wanted.items()]
            try:
                answer = await self._call("delete_message_batch", Entries=entries)
            except QueueUnreachable as error:
                why = str(error)
                continue
            failed = {each["Id"]: each.get("Message") or each.get("Code", "") for each in answer.get("Failed") or []}
            wanted = {number: handle for number, handle in wanted.items() if number in failed}
            if not wanted:
                return 0
            why = next(iter(failed.values()))
        log.warning("%s: %d messages that are done stay in the queue: %s", self._address.arn, len(wanted), why)
        return len(wanted)

    async def _attributes(self, name: str) -> dict[str, str]:
        found: dict[str, str] = (await self._call("get_queue_attributes", AttributeNames=[name]))["Attributes"]
        return found

    async def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        if operation != "get_queue_url":
            arguments["QueueUrl"] = self._url
        try:
            answer: dict[str, Any] = await getattr(self._client, operation)(**arguments)
        except ClientError as error:
            details = error.response.get("Error", {})
            raise QueueUnreachable(
                f"Error occurred while {error.operation_name}. SQS Error Code: {details.get('Code')}. "
                f"SQS Error Message: {details.get('Message')}"
            ) from error
        except (BotoCoreError, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise QueueUnreachable(f"the queue does not answer: {error or type(error).__name__}") from error
        return answer
