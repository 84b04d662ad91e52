"""What pollers write into the status of mappings: whether the source answers, and how much waits in it."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kubelambda.api.conditions import Condition, timestamp
from kubelambda.api.reasons import Reason
from kubelambda.core.mapping.mapping_state import POLLING
from kubelambda.kube.errors import Conflict, KubeError
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import EVENT_SOURCE_MAPPINGS
from kubelambda.pollers.mapping_view import MappingView

FIELD_MANAGER = "kubelambda-pollers"
_CONFLICTS = 5
"""With whoever else writes the mapping's status at the same moment: the operator."""

log = logging.getLogger(__name__)


class MappingReport:
    """The pollers' part of one mapping's status. Nothing is written twice, and a write that fails is not the end."""

    def __init__(self, client: KubeClient, view: MappingView, told: Mapping[str, Any] | None = None) -> None:
        """`told`: what was said of the source and of the last batch before, which stays until something else is."""
        self.told = dict(told or {})
        self._client = client
        self._view = view
        self._since: dict[bool, str] = {}
        self._written: dict[str, Any] = {}
        self._ended = False

    @property
    def uid(self) -> str:
        """Of its mapping."""
        return self._view.uid

    async def polling(self, note: str, *, pollers: int, lag: int | None = None, result: str | None = None) -> None:
        """The source answers. Queues have a `lag`, streams the `result` of the last batch."""
        await self._write(True, Reason.POLLING, note, pollers, {"lag": lag, "lastProcessingResult": result})

    async def paused(self) -> bool:
        """Nobody reads. False when that could not be said: the mapping waits for it."""
        await self.trouble(Reason.PAUSED, "the mapping is not enabled")
        return bool(self._written)

    def lost(self) -> None:
        """The status has not what was written: it is written again with what is said next."""
        self._written = {}

    def end(self) -> None:
        """Nothing more is written: who still finishes its work speaks of what another works by now, or of a new one."""
        self._ended = True

    async def trouble(self, reason: Reason, message: str, *, result: str | None = None) -> None:
        """Nothing can be read now. `result` is what the mapping's lastProcessingResult says of it, if it has one."""
        await self._write(False, reason, message, 0, {"lastProcessingResult": result})

    async def _write(self, good: bool, reason: Reason, message: str, pollers: int, told: dict[str, Any]) -> None:
        """What is not told now stays as it was last: who applies fields without one takes it away."""
        self.told |= {name: each for name, each in told.items() if each is not None}
        if good not in self._since:
            self._since = {good: timestamp(datetime.now(UTC))}
        condition = Condition(
            type=POLLING,
            status="True" if good else "False",
            reason=reason,
            message=message[:1024],
            observed_generation=self._view.generation,
            last_transition_time=self._since[good],
        )
        conditions = [condition.model_dump(mode="json", by_alias=True, exclude_none=True)]
        status = {"conditions": conditions, "pollers": pollers, **self.told}
        if self._ended or status == self._written:
            return
        try:
            if await self._apply(status):
                self._written = status
        except KubeError as error:
            log.info("%s/%s: its status cannot be written: %s", self._view.namespace, self._view.name, error)

    async def _apply(self, status: dict[str, Any]) -> bool:
        """False when there is nothing to be said: the mapping is gone, and what has its name is another.

        The API server takes a uid in the status of a custom resource for nothing; a resource version it heeds.
        """
        place = {"name": self._view.name, "namespace": self._view.namespace}
        conflicts = 0
        while True:
            body = await self._client.find(EVENT_SOURCE_MAPPINGS, self._view.name, self._view.namespace)
            if body is None or body["metadata"]["uid"] != self._view.uid or self._ended:
                return False
            metadata = place | {"resourceVersion": body["metadata"]["resourceVersion"]}
            manifest = {"metadata": metadata, "status": status}
            try:
                await self._client.apply(EVENT_SOURCE_MAPPINGS, manifest, manager=FIELD_MANAGER, subresource="status")
            except Conflict:
                conflicts += 1
                if conflicts == _CONFLICTS:
                    raise
            else:
                return True
