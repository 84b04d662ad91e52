"""Asks an agent what it runs (`GET /state` of `docs/environment-protocol.md`)."""

import asyncio

from kubelambda.api import environment_protocol
from kubelambda.api.environment_protocol import EnvironmentState, UnusableMessage
from kubelambda.wire.client import ClientConnection, request_head

ANSWER_S = 2.0
"""How long an agent that does not wait may take."""


async def agent_state(
    connection: ClientConnection, ip: str, token: str, *, wait_s: int = 0, term: str = ""
) -> EnvironmentState | None:
    """The agent's state now, or for `wait_s` seconds at most as soon as it runs nothing; None when it does not say.

    `term`: of who takes the environment over with this; the agent refuses leases of earlier ones from now on.
    Raises `OSError` or `TimeoutError`.
    """
    headers = {"Authorization": f"Bearer {token}", "Prefer": f"wait={wait_s}"}
    if term:
        headers[environment_protocol.TERM] = term
    async with asyncio.timeout(wait_s + ANSWER_S):
        status, _, body = await connection.call(request_head("GET", environment_protocol.STATE, ip, headers, 0))
    if status != 200:
        return None
    try:
        return environment_protocol.parse_state(body)
    except UnusableMessage:
        return None
