"""How far the shards of a mapping are done, kept in a Lease of its own: whoever works it next goes on from there.

Once a second is often: in the mapping's status it would pass through everybody who watches mappings. Nobody watches the
Lease (`docs/decisions/0037`). The status says who took the mapping over, and how far it was done then. Where the Lease
cannot be written the status has all of it, as it had before there were Leases; so it says which of them counts: the
Lease, if its holder is the poller that the status names, or took the mapping over from that one.

A poller that has lost the mapping without knowing finds out at its next write, which is refused: the Lease has changed,
and the status has another field manager.
"""

import json
import logging
from asyncio import sleep
from collections.abc import Mapping
from typing import Any

from kubelambda.api.kinds.event_source_mapping import Checkpoints, ShardPosition
from kubelambda.api.labels import POSITIONS, TAKEN_FROM
from kubelambda.core.mapping.shard_lineage import ShardProgress
from kubelambda.kube.errors import Conflict, Forbidden, Invalid, KubeError, NotFound
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import EVENT_SOURCE_MAPPINGS, LEASES

type Positions = Mapping[str, ShardProgress]
_CLAIM_ATTEMPTS = 10
_CONFLICTS = 3
_PAUSE_S = 0.2
_IN_STATUS = "/status"
"""What follows a poller's name in a status that is further than the Lease."""
_NO_LEASE = (Invalid, Forbidden)
"""Too many positions for an annotation, or a role that was withdrawn."""

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
        self._uid = ""
        self._version = ""
        self._taken_from = ""
        self._unsure = False
        """Whether the status may be further than the Lease, or may not: an answer was lost."""
        self._written: Positions = {}

    async def claim(self, uid: str | None = None) -> dict[str, ShardProgress]:
        """Makes the positions ours, and returns them: of the mapping with that `uid`, if one is given.

        Raises `MappingTaken` or `KubeError`.
        """
        for _ in range(_CLAIM_ATTEMPTS):
            body = await self._client.find(EVENT_SOURCE_MAPPINGS, self._name, self._namespace)
            if body is None or (uid is not None and body["metadata"]["uid"] != uid):
                raise MappingTaken("the mapping is gone")
            self._uid = body["metadata"]["uid"]
            lease = await self._client.find(LEASES, lease_name(self._uid), self._namespace)
            self._taken_from, found = _known(body, lease)
            try:
                poller = self._manager
                if not await self._held(lease, found):
                    self._taken_from = poller = self._in_status
                await self._write_status(found, poller, body["metadata"]["resourceVersion"], force=True)
            except Conflict:
                await sleep(_PAUSE_S)  # somebody wrote in between: perhaps how far it is done
                continue
            self._written = found
            return dict(found)
        raise MappingTaken("others write the mapping's status all the time")

    async def write(self, positions: Positions) -> None:
        """Writes what is new. Raises `MappingTaken`; any other failure is only logged: the next write brings it."""
        if positions == self._written:
            return
        try:
            await self._write(positions)
        except (Conflict, NotFound) as error:
            raise MappingTaken(str(error)) from error
        except KubeError as error:
            log.warning("%s/%s: positions cannot be written: %s", self._namespace, self._name, error)
        else:
            self._written = dict(positions)

    async def _write(self, positions: Positions) -> None:
        if not self._unsure:
            try:
                await self._renew(positions)
            except _NO_LEASE as error:
                log.warning("%s/%s: its Lease cannot be written: %s", self._namespace, self._name, error)
            else:
                return
        self._unsure = True
        await self._write_our_status(positions)
        self._unsure, self._taken_from = False, self._in_status

    async def _write_our_status(self, positions: Positions) -> None:
        """Raises `Conflict` when it is another's, and `NotFound` when the mapping is gone, whoever has its name now."""
        conflicts = 0
        while True:
            body = await self._client.get(EVENT_SOURCE_MAPPINGS, self._name, self._namespace)
            if body["metadata"]["uid"] != self._uid:
                raise NotFound(404, "the mapping was made anew")
            try:
                version = body["metadata"]["resourceVersion"]
                await self._write_status(positions, self._in_status, version, force=False)
            except Conflict:
                conflicts += 1
                if conflicts == _CONFLICTS:
                    raise
                await sleep(_PAUSE_S)  # somebody may have written something else in between
            else:
                return

    @property
    def _in_status(self) -> str:
        """What the status calls us while it is further than the Lease: each time that it comes to be, something else.

        A Lease that was written since says so by that name; it is not to count once the status is further again.
        """
        return f"{self._manager}{_IN_STATUS}@{self._version}"

    async def _renew(self, positions: Positions) -> None:
        """Raises `Conflict` when the Lease is another's."""
        try:
            await self._patch(self._version, positions)
        except (Conflict, NotFound):
            lease = await self._client.find(LEASES, lease_name(self._uid), self._namespace)
            if lease is not None and lease["spec"].get("holderIdentity") != self._manager:
                raise
            await self._hold(lease, positions)  # an answer to us was lost, or somebody has deleted it

    async def _held(self, lease: Object | None, positions: Positions) -> bool:
        """Whether the Lease is ours now; False when there can be none. Raises `Conflict` as `_hold` does."""
        try:
            await self._hold(lease, positions)
        except _NO_LEASE as error:
            log.warning("%s/%s: its Lease cannot be written: %s", self._namespace, self._name, error)
            return False
        return True

    async def _hold(self, lease: Object | None, positions: Positions) -> None:
        """Makes the Lease ours. Raises `Conflict` when somebody else was quicker."""
        self._version = "" if lease is None else lease["metadata"]["resourceVersion"]
        if lease is not None:
            await self._patch(self._version, positions)
            return
        owner = {
            "apiVersion": EVENT_SOURCE_MAPPINGS.api_version,
            "kind": EVENT_SOURCE_MAPPINGS.kind,
            "name": self._name,
            "uid": self._uid,
        }
        metadata = {"name": lease_name(self._uid), "ownerReferences": [owner]}
        made = await self._client.create(LEASES, self._manifest(metadata, positions), self._namespace)
        self._version = made["metadata"]["resourceVersion"]

    async def _patch(self, version: str, positions: Positions) -> None:
        manifest = self._manifest({"resourceVersion": version}, positions)
        made = await self._client.patch(LEASES, lease_name(self._uid), manifest, self._namespace)
        self._version = made["metadata"]["resourceVersion"]

    def _manifest(self, metadata: Mapping[str, Any], positions: Positions) -> Object:
        known = {shard: [each.sequence, each.finished] for shard, each in sorted(positions.items())}
        annotations = {POSITIONS: json.dumps(known, separators=(",", ":")), TAKEN_FROM: self._taken_from}
        return {"metadata": {**metadata, "annotations": annotations}, "spec": {"holderIdentity": self._manager}}

    async def _write_status(self, positions: Positions, poller: str, version: str, *, force: bool) -> None:
        """Takes the status, from another by `force`. Raises `Conflict` when it is not ours, or not `version`."""
        shards = [
            ShardPosition(shard_id=shard, sequence_number=known.sequence, finished=known.finished)
            for shard, known in sorted(positions.items())
        ]
        checkpoints = Checkpoints(poller=poller, shards=shards)
        metadata = {"name": self._name, "namespace": self._namespace}
        await self._client.apply(
            EVENT_SOURCE_MAPPINGS,
            {
                "metadata": metadata | {"resourceVersion": version},
                "status": {"checkpoints": checkpoints.model_dump(mode="json", by_alias=True, exclude_none=True)},
            },
            manager=self._manager,
            subresource="status",
            force=force,
        )


def lease_name(mapping_uid: str) -> str:
    """The Lease of a mapping; of one that is made anew it is another."""
    return f"kubelambda-mapping-{mapping_uid}"


def _known(body: Object, lease: Object | None) -> tuple[str, dict[str, ShardProgress]]:
    """Whom the status names as the mapping's poller, and how far it is done."""
    status = (body.get("status") or {}).get("checkpoints")
    told = Checkpoints.model_validate(status, extra="ignore") if status else Checkpoints(poller="")
    if lease is not None:
        annotations = lease["metadata"].get("annotations") or {}
        of_lease = _positions(annotations.get(POSITIONS, ""))
        if of_lease is not None and told.poller in (lease["spec"].get("holderIdentity"), annotations.get(TAKEN_FROM)):
            return told.poller, of_lease
    return told.poller, {each.shard_id: ShardProgress(each.sequence_number, each.finished) for each in told.shards}


def _positions(text: str) -> dict[str, ShardProgress] | None:
    """What a Lease says; None when somebody has made it say something else."""
    try:
        found = json.loads(text)
        return {shard: ShardProgress(sequence, bool(finished)) for shard, (sequence, finished) in found.items()}
    except (AttributeError, TypeError, ValueError):
        return None
