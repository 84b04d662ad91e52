"""Clients of AWS's services, and of what speaks their protocols: as the account whose keys they are given, never ours.

aiobotocore is imported when the first of them is made: it costs more memory than most of what uses it.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import IPvAnyNetwork

from kubelambda.outbound.guarded_sockets import outside
from kubelambda.outbound.service_credentials import ServiceCredentials

if TYPE_CHECKING:
    from aiobotocore.session import AioSession


@dataclass(frozen=True, slots=True)
class ServicePlace:
    """Where a service is, and who we are there."""

    region: str
    endpoint_url: str | None
    credentials: ServiceCredentials


def aws_client(
    session: "AioSession",
    service: str,
    place: ServicePlace,
    refused: Sequence[IPvAnyNetwork],
    *,
    connections: int,
    answer_s: float,
) -> AbstractAsyncContextManager[Any]:
    """A client that tries nothing twice by itself, waits `answer_s` for an answer, and reaches nothing in `refused`."""
    from aiobotocore.config import AioConfig  # noqa: PLC0415

    from kubelambda.outbound.tls_session import TlsSession  # noqa: PLC0415

    config = AioConfig(
        connect_timeout=5,
        read_timeout=answer_s,
        retries={"max_attempts": 0},
        max_pool_connections=connections,
        connector_args={"socket_factory": outside(refused)},
        http_session_cls=TlsSession,
        # Servers that are not AWS have no name for every bucket.
        s3={"addressing_style": "path"} if place.endpoint_url else {},
    )
    found: AbstractAsyncContextManager[Any] = session.create_client(
        service,
        region_name=place.region,
        endpoint_url=place.endpoint_url,
        aws_access_key_id=place.credentials.access_key_id,
        aws_secret_access_key=place.credentials.secret_access_key,
        aws_session_token=place.credentials.session_token,
        config=config,
    )
    return found
