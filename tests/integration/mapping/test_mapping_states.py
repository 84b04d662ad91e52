"""States of a mapping with a poller as a process: each change is on the way until that has confirmed it (§7.1.2)."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from tests.integration.functions import Functions, condition, eventually
from tests.integration.mapping.test_event_source_mappings import Mappings
from tests.integration.processes import Component, Installation

from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import EVENT_SOURCE_MAPPINGS, FUNCTIONS
from kubelambda.pollers.mapping_report import FIELD_MANAGER, MappingReport
from kubelambda.pollers.mapping_view import mapping_view

TOLD = (7, "OK")
"""Lag and last result of every mapping that the poller of these tests works."""


@pytest.fixture
def poller(running: Installation) -> Iterator[Component]:
    """A poller beside the operator."""
    with running.poller() as found:
        yield found


@pytest.fixture
async def hello(running: Installation, functions: Functions) -> None:
    """A function that the operator has seen: a mapping is not without one at first."""
    functions.apply("hello")
    await functions.until("hello", bool)


@pytest.fixture
def mappings(functions: Functions) -> Mappings:
    """Mappings beside the functions."""
    return Mappings(functions)


@pytest.fixture
async def states(functions: Functions) -> AsyncIterator[list[str]]:
    """Every state that the mapping of the test's namespace gets, once for each time."""
    found: list[str] = []
    listed = await functions.client.list(EVENT_SOURCE_MAPPINGS, functions.namespace)

    async def follow(version: str) -> None:
        while True:
            async for event in functions.client.watch(
                EVENT_SOURCE_MAPPINGS, functions.namespace, resource_version=version, label_selector="", seconds=300
            ):
                version = event["object"]["metadata"]["resourceVersion"]
                state = (event["object"].get("status") or {}).get("state")
                if state and found[-1:] != [state]:
                    found.append(state)

    following = asyncio.create_task(follow(listed["metadata"]["resourceVersion"]))
    yield found
    following.cancel()


def in_state(state: str) -> Callable[[Object], bool]:
    """Whether a status says that."""
    return lambda status: bool(status.get("state") == state)


async def test_a_state_is_what_the_poller_confirms(
    hello: None, poller: Component, functions: Functions, mappings: Mappings, states: list[str]
) -> None:
    """That it works the mapping by this generation of its spec, or that it has left it alone.

    It stands still until the operator has said what it waits for: else it may be the first to speak.
    """
    changes: list[tuple[dict[str, Any], str, str]] = [
        ({}, "Creating", "Enabled"),
        ({"enabled": False}, "Disabling", "Disabled"),
        ({}, "Enabling", "Enabled"),
        ({"batchSize": 5}, "Updating", "Enabled"),
    ]
    for changed, on_the_way, state in changes:
        poller.process.send_signal(signal.SIGSTOP)
        mappings.apply("orders", **changed)
        await mappings.until("orders", in_state(on_the_way))
        poller.process.send_signal(signal.SIGCONT)
        status = await mappings.until("orders", in_state(state))
        body = await functions.client.get(EVENT_SOURCE_MAPPINGS, "orders", functions.namespace)
        assert condition(status, "Ready")["reason"] == ("Paused" if state == "Disabled" else "Mapped")
        assert (condition(status, "Polling")["reason"] == "Paused") == (state == "Disabled")
        assert condition(status, "Polling")["observedGeneration"] == body["metadata"]["generation"]
    wanted = ["Creating", "Enabled", "Disabling", "Disabled", "Enabling", "Enabled", "Updating", "Enabled"]
    await eventually(lambda: states == wanted)


async def test_a_mapping_whose_function_goes_is_left_alone(
    hello: None, poller: Component, functions: Functions, mappings: Mappings
) -> None:
    """And worked again once that is back."""
    mappings.apply("orders")
    await mappings.until("orders", in_state("Enabled"))
    await functions.client.delete(FUNCTIONS, "hello", functions.namespace)
    status = await mappings.until("orders", in_state("Disabled"))
    assert condition(status, "Ready")["reason"] == "FunctionNotFound"
    assert condition(status, "Polling")["reason"] == "Paused"
    functions.apply("hello")
    await mappings.until("orders", in_state("Enabled"))


async def test_a_poller_whose_word_is_lost_says_it_again(
    hello: None, poller: Component, functions: Functions, mappings: Mappings
) -> None:
    """Another one, which does not know yet that the mapping is not its own, said later what is not so."""
    mappings.apply("orders")
    status = await mappings.until("orders", in_state("Enabled"))
    late = {**condition(status, "Polling"), "status": "False", "reason": "Paused"}
    manifest = {"metadata": {"name": "orders", "namespace": functions.namespace}, "status": {"conditions": [late]}}
    await functions.client.apply(EVENT_SOURCE_MAPPINGS, manifest, manager=FIELD_MANAGER, subresource="status")
    await mappings.until(
        "orders", lambda status: status["state"] == "Enabled" and condition(status, "Polling")["reason"] == "Polling"
    )


async def test_a_poller_that_comes_later_ends_what_was_on_the_way(
    hello: None, running: Installation, mappings: Mappings
) -> None:
    """The one before died while the mapping was paused: nobody else says that nobody reads."""
    with running.poller():
        mappings.apply("orders")
        await mappings.until("orders", in_state("Enabled"))
    mappings.apply("orders", enabled=False)
    await mappings.until("orders", in_state("Disabling"))
    with running.poller():
        await mappings.until("orders", in_state("Disabled"))


async def test_what_was_said_last_stays_when_a_mapping_is_paused(
    hello: None, running: Installation, functions: Functions, mappings: Mappings
) -> None:
    """How much waits and how the last batch ended: by the poller that read, and by one that comes later."""
    with running.poller():
        mappings.apply("orders")
        status = await mappings.until("orders", lambda status: in_state("Enabled")(status) and "lag" in status)
        assert (status["lag"], status["lastProcessingResult"]) == TOLD
        mappings.apply("orders", enabled=False)
        status = await mappings.until("orders", in_state("Disabled"))
        assert (status["pollers"], status["lag"], status["lastProcessingResult"]) == (0, *TOLD)
        mappings.apply("orders")
        await mappings.until("orders", in_state("Enabled"))
    mappings.apply("orders", enabled=False)
    await mappings.until("orders", in_state("Disabling"))
    with running.poller():
        status = await mappings.until("orders", in_state("Disabled"))
        assert (status["lag"], status["lastProcessingResult"]) == TOLD


async def test_what_is_said_of_a_mapping_is_not_written_into_one_made_anew(
    hello: None, running: Installation, functions: Functions, mappings: Mappings
) -> None:
    """A write may be on its way while the mapping is deleted and another gets its name."""
    mappings.apply("orders")
    await mappings.because("orders", "WaitingForPoller")
    body = await functions.client.get(EVENT_SOURCE_MAPPINGS, "orders", functions.namespace)
    view = mapping_view(body)
    assert view is not None
    report = MappingReport(functions.client, view)
    await report.polling("the source answers", pollers=1)
    await functions.client.delete(EVENT_SOURCE_MAPPINGS, "orders", functions.namespace)
    await report.polling("the source answers", pollers=2)  # of none there is nothing to be said either
    mappings.apply("orders")
    await mappings.because("orders", "WaitingForPoller")
    await report.polling("the source answers", pollers=3)
    await report.paused()
    status = (await functions.client.get(EVENT_SOURCE_MAPPINGS, "orders", functions.namespace))["status"]
    assert condition(status, "Polling") == {}
    assert "pollers" not in status
