"""Objects that are written only where they are not as wanted."""

import copy
from typing import Any

from tests.unit.controllers.clusters import context_of

from kubelambda.api.settings import NetworkSettings
from kubelambda.controllers.account.policy_facts import WATCHED_POLICIES, policy_facts
from kubelambda.controllers.machinery import changes, desired
from kubelambda.controllers.machinery.work_queue import Key
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

    async def apply(self, _: Resource, manifest: dict[str, Any], **__: object) -> dict[str, Any]:
        """The object after that."""
        self.applied += 1
        body = copy.deepcopy(manifest)
        body["metadata"] |= {"uid": "u", "resourceVersion": str(10 * self.applied), "generation": self.applied}
        return body


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


async def test_what_was_dropped_is_no_news_and_an_event_from_before_does_not_bring_it_back() -> None:
    """The next one of that name is another object."""
    context = context_of(Applying())
    await desired.keep(context, WATCHED_POLICIES, AGENTS_POLICY, by=KEY)
    desired.drop(context, WATCHED_POLICIES, "a", AGENTS, by=KEY)
    await changes.observe(context, WATCHED_POLICIES, await Applying().apply(WATCHED_POLICIES.resource, AGENTS_POLICY))
    assert context.cluster[WATCHED_POLICIES].get("a", AGENTS) is None
    assert not context.queues.of(KEY.kind)._due


def test_a_policy_without_rules_is_as_wanted_when_the_api_server_keeps_none() -> None:
    """It leaves empty lists out."""
    manifest = network_set_policy("a", "s", egress=[], ingress=[])
    kept = copy.deepcopy(manifest)
    del kept["spec"]["egress"], kept["spec"]["ingress"]
    assert policy_facts(kept) == policy_facts(manifest)
