"""Objects that are written only where they are not as wanted."""

import copy
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.unit.controllers.clusters import context_of

from kubelambda.api.settings import NetworkSettings
from kubelambda.controllers.account.policy_facts import WATCHED_POLICIES, policy_facts
from kubelambda.controllers.machinery import changes, desired
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.kube.errors import NotFound
from kubelambda.kube.resources import Resource
from kubelambda.resources.environment_network_policy import AGENTS, environment_network_policies
from kubelambda.resources.network_set_policy import network_set_policy

KEY = Key("Namespace", "a", "a")
AGENTS_POLICY = next(
    each
    for each in environment_network_policies("a", "system", NetworkSettings(), [])
    if each["metadata"]["name"] == AGENTS
)


class Applying:
    """In the place of a client: what is applied is there then, in the next version."""

    def __init__(self) -> None:
        self.applied = 0
        self.there: set[str] = set()
        self.after_delete: Callable[[], Awaitable[object]] | None = None

    async def apply(self, _: Resource, manifest: dict[str, Any], **__: object) -> dict[str, Any]:
        """The object after that."""
        self.applied += 1
        self.there.add(manifest["metadata"]["name"])
        body = copy.deepcopy(manifest)
        body["metadata"] |= {"uid": "u", "resourceVersion": str(10 * self.applied), "generation": self.applied}
        return body

    async def delete(self, _: Resource, name: str, __: str) -> None:
        """Raises `NotFound` for what is not there."""
        if name not in self.there:
            raise NotFound(404, "gone")
        self.there.remove(name)
        if self.after_delete is not None:
            await self.after_delete()


async def test_what_is_as_wanted_is_not_written_again() -> None:
    """And what the key at work wrote is no news for it, whenever its event comes."""
    client = Applying()
    context = context_of(client)
    for _ in range(2):
        await desired.keep(context, WATCHED_POLICIES, AGENTS_POLICY, by=KEY)
    await changes.observe(context, WATCHED_POLICIES, await Applying().apply(WATCHED_POLICIES.resource, AGENTS_POLICY))
    assert client.applied == 1
    assert not context.queues.of(KEY.kind)._due


async def test_what_somebody_changed_or_took_away_is_written_again() -> None:
    """Its key is due as soon as an event tells."""
    client = Applying()
    context = context_of(client)
    await desired.keep(context, WATCHED_POLICIES, AGENTS_POLICY, by=KEY)
    changed = await Applying().apply(WATCHED_POLICIES.resource, AGENTS_POLICY)
    changed["metadata"]["resourceVersion"] = "11"
    changed["spec"]["ingress"].append({})
    await changes.observe(context, WATCHED_POLICIES, changed)
    assert KEY in context.queues.of(KEY.kind)._due
    await desired.keep(context, WATCHED_POLICIES, AGENTS_POLICY, by=KEY)
    assert client.applied == 2
    changes.forget(context, WATCHED_POLICIES, "a", AGENTS)
    await desired.keep(context, WATCHED_POLICIES, AGENTS_POLICY, by=KEY)
    assert client.applied == 3


@pytest.mark.parametrize("there", [True, False])
async def test_what_was_removed_is_no_news_and_an_event_from_before_does_not_bring_it_back(*, there: bool) -> None:
    """Whether it was there still or not."""
    client = Applying()
    context = context_of(client)
    await desired.keep(context, WATCHED_POLICIES, AGENTS_POLICY, by=KEY)
    if not there:
        client.there.clear()
    await desired.remove(context, WATCHED_POLICIES, "a", AGENTS, by=KEY)
    assert not client.there
    await changes.observe(context, WATCHED_POLICIES, await Applying().apply(WATCHED_POLICIES.resource, AGENTS_POLICY))
    assert context.cluster[WATCHED_POLICIES].get("a", AGENTS) is None
    assert not context.queues.of(KEY.kind)._due


async def test_another_of_that_name_that_came_meanwhile_is_known() -> None:
    """It is another object, and somebody else's."""
    client = Applying()
    context = context_of(client)
    await desired.keep(context, WATCHED_POLICIES, AGENTS_POLICY, by=KEY)
    another = await Applying().apply(WATCHED_POLICIES.resource, AGENTS_POLICY)
    another["metadata"] |= {"uid": "v", "resourceVersion": "30"}
    client.after_delete = lambda: changes.observe(context, WATCHED_POLICIES, another)
    await desired.remove(context, WATCHED_POLICIES, "a", AGENTS, by=KEY)
    assert context.cluster[WATCHED_POLICIES].get("a", AGENTS) is not None


def test_a_policy_without_rules_is_as_wanted_when_the_api_server_keeps_none() -> None:
    """It leaves empty lists out."""
    manifest = network_set_policy("a", "s", egress=[], ingress=[])
    kept = copy.deepcopy(manifest)
    del kept["spec"]["egress"], kept["spec"]["ingress"]
    assert policy_facts(kept) == policy_facts(manifest)
