"""Which changes of conditions are worth an Event."""

import itertools
from datetime import UTC, datetime
from typing import Any, cast

from kubelambda.api.conditions import Fact, conditions_of
from kubelambda.controllers.machinery.recorder import record_transition
from kubelambda.kube.resources import ALIASES

NOW = datetime(2026, 1, 2, tzinfo=UTC)
BODY = {"metadata": {"name": "f-live", "namespace": "a", "uid": "u"}}
type Told = tuple[str, str, str]
"""Type, reason and note of an Event."""


class Events:
    """In the place of a client."""

    def __init__(self) -> None:
        self.told: list[Told] = []

    async def create(self, _resource: object, event: dict[str, Any], _namespace: str) -> None:
        """An Event."""
        self.told.append((event["type"], event["reason"], event["note"]))


async def told(*steps: Fact | list[Fact]) -> list[Told]:
    """Events of an object of whose conditions one of `steps` after the other holds."""
    events = Events()
    known = [[], *(conditions_of(step if isinstance(step, list) else [step], NOW) for step in steps)]
    for before, after in itertools.pairwise(known):
        await record_transition(cast("Any", events), ALIASES, BODY, before, after)
    return events.told


def ready(status: Any, reason: str, message: str) -> Fact:
    """The condition Ready."""
    return "Ready", status, reason, message


def provisioned(status: Any, reason: str, message: str) -> Fact:
    """The condition of provisioned environments."""
    return "ProvisionedConcurrencyReady", status, reason, message


async def test_each_word_of_ready_is_told_once() -> None:
    """Also another message."""
    waits, fails = ready("False", "InProgress", "soon"), ready("False", "InvalidCode", "no zip")
    other = ready("False", "InvalidCode", "too large")
    steps = waits, waits, fails, fails, other, ready("True", "Deployed", "it runs")
    assert await told(*steps) == [
        ("Normal", "InProgress", "soon"),
        ("Warning", "InvalidCode", "no zip"),
        ("Warning", "InvalidCode", "too large"),
        ("Normal", "Deployed", "it runs"),
    ]


async def test_provisioned_concurrency_that_fails_and_comes_back_is_told() -> None:
    """With its reason; not the number of environments at each step, and not that the first are awaited."""
    failed = provisioned("False", "ProvisioningFailed", "1 of 2: FUNCTION_ERROR_INIT_FAILURE: no module")
    steps = (
        provisioned("False", "InProgress", "0 of 2"),
        provisioned("False", "InProgress", "1 of 2"),
        provisioned("True", "Available", "2 of 2"),
        provisioned("False", "InProgress", "0 of 2"),
        failed,
        failed,
        provisioned("False", "ProvisioningFailed", "0 of 2: FUNCTION_ERROR_INIT_FAILURE: no module"),
        provisioned("False", "Refused", "the account has no more"),
        provisioned("False", "InProgress", "1 of 2"),
        provisioned("True", "Available", "2 of 2"),
        provisioned("True", "Available", "3 of 3"),
    )
    assert await told(*steps) == [
        ("Normal", "Available", "2 of 2"),
        ("Normal", "InProgress", "0 of 2"),
        ("Warning", "ProvisioningFailed", "1 of 2: FUNCTION_ERROR_INIT_FAILURE: no module"),
        ("Warning", "Refused", "the account has no more"),
        ("Normal", "InProgress", "1 of 2"),
        ("Normal", "Available", "2 of 2"),
    ]


async def test_what_is_refused_from_the_start_is_told() -> None:
    """Nobody has seen the condition before."""
    refused = provisioned("False", "Refused", "the account has no more")
    assert await told(refused, refused) == [("Warning", "Refused", "the account has no more")]


async def test_destinations_that_are_missing_and_come_are_told_once() -> None:
    """Also where Ready says the same; not that all of them are there from the start."""
    missing: Fact = "DestinationsReady", "False", "TargetNotFound", "there is no EventTarget sink"
    found: Fact = "DestinationsReady", "True", "TargetsFound", "sink"
    routed = ready("True", "Routed", "callers get version 1")
    assert await told([routed, found], [routed, missing], [routed, missing], [routed, found]) == [
        ("Normal", "Routed", "callers get version 1"),
        ("Warning", "TargetNotFound", "there is no EventTarget sink"),
        ("Normal", "TargetsFound", "sink"),
    ]
    assert await told([ready("False", "TargetNotFound", missing[3]), missing]) == [
        ("Warning", "TargetNotFound", "there is no EventTarget sink")
    ]
