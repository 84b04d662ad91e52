"""What every source needs: its address, and a word for not being reached."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import IPvAnyNetwork

from kubelambda.outbound.guarded_sockets import outside

_CONNECTIONS = 1300
_ANSWER_S = 30.0
"""For an answer, longer than the longest receive waits."""


class SourceUnreachable(Exception):
    """The source does not exist, refuses us, or does not answer. The message is for the status of the mapping.

    `code` is the service's own word, if it said one.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """Where a source is, and who we are there."""

    arn: str
    endpoint_url: str | None
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


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
    session: AioSession,
    service: str,
    address: SourceAddress,
    refused: Sequence[IPvAnyNetwork],
    name: str,
) -> AsyncIterator[AwsService]:
    """A client of `service` in the region of the source's ARN. `name` is what errors call it."""
    config = AioConfig(
        connect_timeout=5,
        read_timeout=_ANSWER_S,
        retries={"max_attempts": 0},
        max_pool_connections=_CONNECTIONS,
        connector_args={"socket_factory": outside(refused)},
    )
    async with session.create_client(
        service,
        region_name=address.arn.split(":")[3],
        endpoint_url=address.endpoint_url,
        aws_access_key_id=address.access_key_id,
        aws_secret_access_key=address.secret_access_key,
        aws_session_token=address.session_token,
        config=config,
    ) as client:
        yield AwsService(name, client)
