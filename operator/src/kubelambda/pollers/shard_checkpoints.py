"""How far the shards of a mapping are done, kept in its status: whoever works it next goes on from there.

One field manager owns the checkpoints, the poller that works the mapping. A poller that has lost the mapping to another
without knowing finds out at its next write, which is refused.
"""

import asyncio
import logging
from collections.abc import Mapping

from kubelambda.api.kinds.event_source_mapping import Checkpoints, ShardPosition
from kubelambda.core.mapping.shard_lineage import ShardProgress
from kubelambda.kube.errors import Conflict, KubeError, NotFound
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import EVENT_SOURCE_MAPPINGS

_CLAIM_ATTEMPTS = 10
_PAUSE_S = 0.2

log = logging.getLogger(__name__)


class MappingTaken(Exception):
    """Another poller works the mapping, or it is gone."""


class ShardCheckpoints:
    """The positions of one mapping. `manager` is a name that no other poller has."""

    def __init__(self, client: KubeClient, namespace: str, name: str, manager: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._manager = manager
        self._written: dict[str, ShardProgress] = {}

    async def claim(self) -> dict[str, ShardProgress]:
        """Makes the positions ours, and returns them. Raises `MappingTaken` or `KubeError`."""
        for _ in range(_CLAIM_ATTEMPTS):
            body = await self._client.find(EVENT_SOURCE_MAPPINGS, self._name, self._namespace)
            if body is None:
                raise MappingTaken("the mapping is gone")
            found = _positions(body)
            try:
                await self._apply(found, version=body["metadata"]["resourceVersion"], force=True)
            except Conflict:
                await asyncio.sleep(_PAUSE_S)  # somebody wrote in between: perhaps how far it is done
                continue
            self._written = found
            return dict(found)
        raise MappingTaken("others write the mapping's status all the time")

    async def write(self, positions: Mapping[str, ShardProgress]) -> None:
        """Writes what is new. Raises `MappingTaken`; any other failure is only logged: the next write brings it."""
        if positions == self._written:
            return
        try:
            await self._apply(positions, version=None, force=False)
        except (Conflict, NotFound) as error:
            raise MappingTaken(str(error)) from error
        except KubeError as error:
            log.warning("%s/%s: positions cannot be written: %s", self._namespace, self._name, error)
        else:
            self._written = dict(positions)

    async def _apply(self, positions: Mapping[str, ShardProgress], *, version: str | None, force: bool) -> None:
        metadata = {"name": self._name, "namespace": self._namespace}
        if version is not None:
            metadata["resourceVersion"] = version
        shards = [
            ShardPosition(shard_id=shard, sequence_number=known.sequence, finished=known.finished)
            for shard, known in sorted(positions.items())
        ]
        checkpoints = Checkpoints(poller=self._manager, shards=shards)
        await self._client.apply(
            EVENT_SOURCE_MAPPINGS,
            {
                "metadata": metadata,
                "status": {"checkpoints": checkpoints.model_dump(mode="json", by_alias=True, exclude_none=True)},
            },
            manager=self._manager,
            subresource="status",
            force=force,
        )


def _positions(body: Object) -> dict[str, ShardProgress]:
    found = (body.get("status") or {}).get("checkpoints")
    shards = Checkpoints.model_validate(found, extra="ignore").shards if found else []
    return {each.shard_id: ShardProgress(each.sequence_number, each.finished) for each in shards}
