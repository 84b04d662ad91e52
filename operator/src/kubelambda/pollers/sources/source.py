"""What every source of AWS needs: a client, whose faults are those of the source."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import IPvAnyNetwork

from kubelambda.outbound.aws_client import ServicePlace, aws_client
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable

_CONNECTIONS = 1300
_ANSWER_S = 30.0
"""For an answer, longer than the longest receive waits."""


class AwsService:
    """A client of one of AWS's services. `name` is what errors call it."""

    def __init__(self, name: str, client: Any) -> None:
        self._name = name
        self._client = client

    async def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Calls an operation once. Raises `SourceUnreachable`, with the service's own words."""
        try:
            answer: dict[str, Any] = await getattr(self._client, operation)(**arguments)
        except ClientError as error:
            details = error.response.get("Error", {})
            code = str(details.get("Code"))
            raise SourceUnreachable(
                f"Error occurred while {error.operation_name}. {self._name} Error Code: {code}. "
                f"{self._name} Error Message: {details.get('Message')}",
                code,
            ) from error
        except (BotoCoreError, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise SourceUnreachable(f"the source does not answer: {error or type(error).__name__}") from error
        return answer


@asynccontextmanager
async def aws_service(
    session: AioSession, service: str, place: ServicePlace, refused: Sequence[IPvAnyNetwork], name: str
) -> AsyncIterator[AwsService]:
    """A client of `service`. `name` is what errors call it."""
    async with aws_client(session, service, place, refused, connections=_CONNECTIONS, answer_s=_ANSWER_S) as client:
        yield AwsService(name, client)
