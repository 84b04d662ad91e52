"""What an attempt makes of a frontend's answer, however the frontend writes it."""

from collections.abc import Mapping

import pytest
from aiohttp import web

from kubelambda.core.event.delivery import AttemptOutcome, accepted
from kubelambda.events.attempt import AttemptResult, Attempts
from kubelambda.store.event.event_queue import InvokedFunction, QueuedEvent

ARN = "arn:aws:lambda:us-east-1:000000000000:function:hello"
EVENT = QueuedEvent(InvokedFunction("team", "hello", ""), "id-1", b'{"a": 1}', accepted(0.0), {"x-kubelambda-arn": ARN})


async def answered(status: int, headers: Mapping[str, str], body: bytes = b"{}") -> tuple[AttemptResult, web.Request]:
    """The result of an attempt at a server that answers so, and the request that it got."""
    got: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        assert await request.read() == EVENT.payload
        got.append(request)
        return web.Response(status=status, headers=headers, body=body)

    app = web.Application()
    app.router.add_post("/2015-03-31/functions/{name}/invocations", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        async with Attempts(f"http://{host}:{port}", b"k" * 32) as attempts:
            return await attempts.attempt(EVENT), got[0]
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("name", ["X-Amz-Function-Error", "x-amz-function-error"])
async def test_a_function_error_is_one_however_its_header_is_written(name: str) -> None:
    """The frontend that ran it writes it so, one that passed the answer on writes it otherwise."""
    result, request = await answered(200, {name: "Unhandled", "x-amz-executed-version": "3"})
    assert result.outcome is AttemptOutcome.FUNCTION_ERROR
    assert result.last is not None
    assert (result.last.function_error, result.last.executed_version) == ("Unhandled", "3")
    assert request.headers["x-amzn-requestid"] == "id-1"
    assert request.match_info["name"] == ARN


@pytest.mark.parametrize(
    ("status", "outcome", "gone"),
    [
        (200, AttemptOutcome.SUCCEEDED, False),
        (429, AttemptOutcome.TURNED_DOWN, False),
        (500, AttemptOutcome.TURNED_DOWN, False),
        (503, AttemptOutcome.TURNED_DOWN, False),
        (404, AttemptOutcome.FUNCTION_ERROR, True),
    ],
)
async def test_only_the_functions_own_errors_use_up_an_attempt(
    status: int, outcome: AttemptOutcome, gone: bool
) -> None:
    """Throttles and faults of the platform do not (§6.3); a function that is gone ends its events."""
    result, _ = await answered(status, {})
    assert (result.outcome, result.gone) == (outcome, gone)


async def test_a_frontend_that_is_away_is_no_attempt() -> None:
    """Nothing listens: the event is tried again."""
    async with Attempts("http://127.0.0.1:9", b"k" * 32) as attempts:
        assert (await attempts.attempt(EVENT)).outcome is AttemptOutcome.TURNED_DOWN
