"""Functions, aliases and versions that are asked for: none waits for ever, and none for another account's names."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from kubelambda.frontend.cluster import unseen_functions
from kubelambda.frontend.cluster.published import Published
from kubelambda.frontend.cluster.unseen_functions import UnseenFunctions
from kubelambda.frontend.cluster.unseen_qualifiers import UnseenQualifiers
from kubelambda.kube.errors import NotFound
from kubelambda.kube.reflector import Name
from kubelambda.kube.resources import ALIASES, Resource


class Silent:
    """In the place of a client: an API server that knows nothing, and says so when it is let."""

    def __init__(self) -> None:
        self.free = asyncio.Event()

    async def get(self, *_: object) -> dict[str, Any]:
        """There is no such object."""
        await self.free.wait()
        raise NotFound(404, "it is not there")


@pytest.mark.parametrize(
    "made_up",
    [
        pytest.param([("greedy", f"f{number}") for number in range(1_000)], id="functions"),
        pytest.param([(f"n{number}", "f") for number in range(1_000)], id="namespaces"),
    ],
)
async def test_names_that_one_account_makes_up_keep_no_other_account_waiting(
    made_up: list[Name], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many they are, its own calls are told to come again and not those of others."""
    monkeypatch.setattr(unseen_functions, "ABSENT_S", 3600.0)  # others may take longer than it is known
    client = Silent()
    unseen = UnseenFunctions(cast("Any", client), lambda namespace: namespace in ("greedy", "modest"))
    answers: dict[str, list[bool]] = {"greedy": [], "modest": []}
    taken = [unseen.look(name, answers["greedy"].append) for name in made_up]
    assert not all(taken), "it may not fill the memory"
    assert unseen.look(("modest", "f"), answers["modest"].append)
    client.free.set()
    await unseen._tasks.wait()
    assert answers == {"greedy": [True] * taken.count(True), "modest": [True]}
    assert unseen.absent(("modest", "f"))
    assert not unseen._waiting
    assert not unseen._looks


class Listed:
    """In the place of a client: what a namespace has."""

    def __init__(self, *aliases: dict[str, Any]) -> None:
        self._aliases = aliases

    async def pages(self, resource: Resource, _: str) -> AsyncIterator[dict[str, Any]]:
        """All at once."""
        yield {"items": list(self._aliases) if resource is ALIASES else []}


def alias(**status: Any) -> dict[str, Any]:
    """Of function `f`."""
    metadata = {"name": "f-live", "namespace": "team", "creationTimestamp": "2026-01-01T00:00:00Z"}
    spec = {"functionName": "f", "name": "live", "functionVersion": "$LATEST"}
    return {"metadata": metadata, "spec": spec, "status": {"routedVersion": "$LATEST"} | status}


async def looked_up(client: object, *qualifiers: str) -> tuple[list[tuple[str, bool]], UnseenQualifiers, Published]:
    """What is said of qualifiers of `f`: all but the first are asked for while a look goes on."""
    published = Published(lambda _: None)
    unseen = UnseenQualifiers(cast("Any", client), published)
    said: list[tuple[str, bool]] = []
    for qualifier in qualifiers:
        assert unseen.look((("team", "f"), qualifier), lambda known, name=qualifier: said.append((name, known)))  # type: ignore[misc]
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await unseen._tasks.wait()
    return said, unseen, published


async def test_an_object_that_cannot_be_read_hides_no_other() -> None:
    """Another release may have written it: the caches skip it, and so does a look."""
    strange = alias(provisionedConcurrency=["no", "mapping"])
    strange["metadata"] |= {"name": "strange"}
    said, _, published = await looked_up(Listed(strange, alias()), "live")
    assert said == [("live", True)]
    assert published.resolvable(("team", "f"), "live")


class Strange:
    """In the place of a client: what comes is nothing that anybody understands."""

    async def pages(self, *_: object) -> AsyncIterator[dict[str, Any]]:
        """Something on the way to the API server answers for it."""
        await asyncio.sleep(0.01)
        yield {"message": "come again"}


async def test_whoever_asked_is_answered_whatever_becomes_of_a_look() -> None:
    """Nobody else ends a request that waits for the answer: one of this look, or one that came meanwhile."""
    said, unseen, _ = await looked_up(Strange(), "live", "next", "live")
    assert said == [("live", False), ("next", False), ("live", False)]
    assert not unseen.absent((("team", "f"), "live")), "nothing was said of it"
    assert not unseen._waiting
