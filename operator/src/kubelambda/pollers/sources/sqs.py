"""A queue of SQS, or of anything that speaks its protocol."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiobotocore.session import AioSession
from pydantic import IPvAnyNetwork

from kubelambda.outbound.aws_client import ServicePlace
from kubelambda.pollers.sources.source import AwsService, aws_service
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable

_DELETE_MAX = 10
_DELETE_ATTEMPTS = 4
_PAUSE_S = 0.5

log = logging.getLogger(__name__)


class SqsQueue:
    """One queue, as `sqs_queue` opens it. Every method raises `SourceUnreachable` unless it says otherwise."""

    def __init__(self, service: AwsService, arn: str, url: str) -> None:
        self._service = service
        self._arn = arn
        self._url = url

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
            except SourceUnreachable as error:
                why = str(error)
                continue
            failed = {each["Id"]: each.get("Message") or each.get("Code", "") for each in answer.get("Failed") or []}
            wanted = {number: handle for number, handle in wanted.items() if number in failed}
            if not wanted:
                return 0
            why = next(iter(failed.values()))
        log.warning("%s: %d messages that are done stay in the queue: %s", self._arn, len(wanted), why)
        return len(wanted)

    async def _attributes(self, name: str) -> dict[str, str]:
        found: dict[str, str] = (await self._call("get_queue_attributes", AttributeNames=[name]))["Attributes"]
        return found

    async def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        return await self._service.call(operation, QueueUrl=self._url, **arguments)


@asynccontextmanager
async def sqs_queue(
    session: AioSession, arn: str, place: ServicePlace, refused: Sequence[IPvAnyNetwork] = ()
) -> AsyncIterator[SqsQueue]:
    """A queue by its ARN. Raises `SourceUnreachable`.

    It cannot be in `refused`: whoever writes a mapping must not reach what only we can.
    """
    async with aws_service(session, "sqs", place, refused, "SQS") as service:
        url = (await service.call("get_queue_url", QueueName=arn.split(":")[5]))["QueueUrl"]
        yield SqsQueue(service, arn, url)
