"""Which of a Lease and a status says how far a stream is done, when the Lease can be written now and then only."""

import copy
from typing import Any, cast

import pytest

from kubelambda.core.mapping.shard_lineage import ShardProgress
from kubelambda.kube.errors import Conflict, Forbidden, NotFound, Unreachable
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.pollers.shard_checkpoints import ShardCheckpoints


class TwoObjects:
    """A mapping and its Lease, as an API server keeps them; the tests against a real one are elsewhere."""

    def __init__(self) -> None:
        self.mapping: Object = {"metadata": {"uid": "u", "name": "clicks", "resourceVersion": "1"}}
        self.lease: Object | None = None
        self.leases_refused = False
        self.status_answers = True
        self._versions = 1

    async def find(self, kind: Any, name: str, namespace: str | None = None) -> Object | None:
        """One of the two."""
        return copy.deepcopy(self.lease if kind.plural == "leases" else self.mapping)

    async def get(self, kind: Any, name: str, namespace: str | None = None) -> Object:
        """The mapping, which is there."""
        return copy.deepcopy(self.mapping)

    async def create(self, kind: Any, manifest: Object, namespace: str | None = None, **_: Any) -> Object:
        """The Lease."""
        if self.leases_refused:
            raise Forbidden(403, "exceeded quota")
        self.lease = copy.deepcopy(manifest)
        return self._written(self.lease)

    async def patch(self, kind: Any, name: str, changes: Object, namespace: str | None = None, **_: Any) -> Object:
        """The Lease."""
        if self.lease is None:
            raise NotFound(404, "no Lease")
        if self.leases_refused:
            raise Forbidden(403, "refused")
        if changes["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise Conflict(409, "changed")
        self.lease["metadata"] |= changes["metadata"]
        self.lease["spec"] = changes["spec"]
        return self._written(self.lease)

    async def apply(self, kind: Any, manifest: Object, **_: Any) -> Object:
        """The status, whose answer may be lost."""
        wanted = manifest["metadata"].get("resourceVersion")
        if wanted is not None and wanted != self.mapping["metadata"]["resourceVersion"]:
            raise Conflict(409, "changed")
        self.mapping["status"] = manifest["status"]
        found = self._written(self.mapping)
        if not self.status_answers:
            raise Unreachable("the answer is lost")
        return found

    def _written(self, body: Object) -> Object:
        self._versions += 1
        body["metadata"]["resourceVersion"] = str(self._versions)
        return copy.deepcopy(body)


def at(number: int) -> dict[str, ShardProgress]:
    """Positions."""
    return {"shard-1": ShardProgress(str(number))}


def poller(api: TwoObjects, name: str = "a") -> ShardCheckpoints:
    """Of a poller."""
    return ShardCheckpoints(cast("KubeClient", api), "shop", "clicks", name)


async def test_a_stream_goes_on_from_a_lease_that_could_not_be_made_at_first() -> None:
    """A quota was full when the mapping was taken over: the whole stream came again after the next death."""
    api = TwoObjects()
    api.leases_refused = True
    first = poller(api)
    assert await first.claim() == {}
    api.leases_refused = False
    await first.write(at(7))
    assert api.lease is not None
    assert await poller(api, "b").claim() == at(7)


@pytest.mark.parametrize("identity", ["a", "b"])
async def test_the_status_counts_each_time_that_it_is_further_than_the_lease(identity: str) -> None:
    """A Lease that is refused, written, and refused again is as old as its last write."""
    api = TwoObjects()
    first = poller(api)
    assert await first.claim() == {}
    for number in range(6):
        api.leases_refused = number % 2 == 0
        await first.write(at(number))
        assert await poller(copy.deepcopy(api), identity).claim() == at(number)
    api.leases_refused = True
    await first.write(at(6))
    assert await poller(api, identity).claim() == at(6)


async def test_a_lost_answer_of_the_status_makes_no_lease_count_that_is_older() -> None:
    """Nor one that is newer be forgotten."""
    api = TwoObjects()
    first = poller(api)
    assert await first.claim() == {}
    api.leases_refused = True
    await first.write(at(1))
    api.leases_refused = False
    await first.write(at(2))
    api.leases_refused, api.status_answers = True, False
    await first.write(at(3))
    api.leases_refused, api.status_answers = False, True
    for number in (4, 5):
        await first.write(at(number))
        assert await poller(copy.deepcopy(api), "b").claim() == at(number)
