"""An operator that begins finishes what the one before left of provisioned environments, whatever statuses say."""

import random
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.unit.controllers.clusters import body_of, context_of

from kubelambda.api import labels
from kubelambda.controllers.machinery import resync
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.kube.resources import ALIASES, DEPLOYMENTS, FUNCTION_VERSIONS, Resource

ALIAS = Key("Alias", "a", "f-live")
VERSION = Key("FunctionVersion", "a", "f-2")
READY = {"type": "Ready", "status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"}


class Lists:
    """In the place of a client: what lists show."""

    def __init__(self, found: list[tuple[Resource, dict[str, Any]]]) -> None:
        self._found = found

    async def each(self, resource: Resource, label_selector: str) -> AsyncIterator[dict[str, Any]]:
        """All of a kind that have a label."""
        for kind, body in self._found:
            if kind is resource and (not label_selector or label_selector in body["metadata"]["labels"]):
                yield body


def status(units: int, **more: Any) -> dict[str, Any]:
    """One that speaks of the spec and shows nothing left to do."""
    there = {"requested": units, "allocated": units, "available": units, "status": "READY", "lastModified": "then"}
    return {"observedGeneration": 1, "conditions": [READY], "provisionedConcurrency": there, **more}


def alias(units: int) -> tuple[Resource, dict[str, Any]]:
    """It leads to version 2."""
    spec = {"functionName": "f", "name": "live", "functionVersion": "2"}
    return ALIASES, body_of("f-live", spec, status=status(units, functionVersion="2", routedVersion="2"))


def version(units: int) -> tuple[Resource, dict[str, Any]]:
    """Version 2, with environments of its own."""
    return FUNCTION_VERSIONS, body_of("f-2", {"functionName": "f"}, status=status(units, version="2"))


def deployment(number: str, replicas: int, qualifier: str) -> tuple[Resource, dict[str, Any]]:
    """Provisioned environments of a version."""
    marks = {labels.FUNCTION: "f", labels.PROVISIONED: qualifier, labels.FUNCTION_VERSION: number}
    return DEPLOYMENTS, body_of(f"f-{number}-{qualifier}", {"replicas": replicas}, metadata={"labels": marks})


@pytest.mark.parametrize(
    ("found", "at_once"),
    [
        pytest.param([alias(1), deployment("2", 1, "live")], set(), id="nothing is left of a move"),
        pytest.param([alias(1), deployment("1", 1, "live"), deployment("2", 1, "live")], {ALIAS}, id="the old version"),
        pytest.param([alias(1), deployment("2", 3, "live")], {ALIAS}, id="more than the alias has now"),
        pytest.param([alias(0), deployment("2", 1, "live")], {ALIAS}, id="all that the alias gave back"),
        pytest.param([version(2), deployment("2", 2, "2")], set(), id="nothing is left at a version"),
        pytest.param([version(0), deployment("2", 2, "2")], {VERSION}, id="all that the version gave back"),
    ],
)
async def test_what_has_environments_that_should_be_gone_is_looked_at_at_once(
    monkeypatch: pytest.MonkeyPatch, found: list[tuple[Resource, dict[str, Any]]], at_once: set[Key]
) -> None:
    """Everything else that is Ready may wait for its turn in the course of the resync's interval."""
    monkeypatch.setattr(random, "uniform", lambda _, last: last)
    context = context_of(Lists(found))
    await resync.load(context)
    due = {key: at for queue in context.queues.by_name.values() for key, at in queue._due.items()}
    kinds = {ALIAS.kind, VERSION.kind}
    assert {key for key, at in due.items() if key.kind in kinds and at < time.monotonic() + 60} == at_once
