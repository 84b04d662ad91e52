"""What pollers write into the status of mappings: whether the source answers, and how much waits in it."""

import logging
from datetime import UTC, datetime
from typing import Any

from kubelambda.api.conditions import Condition, timestamp
from kubelambda.api.reasons import Reason
from kubelambda.core.mapping.mapping_state import POLLING
from kubelambda.kube.errors import KubeError
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import EVENT_SOURCE_MAPPINGS
from kubelambda.pollers.mapping_view import MappingView

FIELD_MANAGER = "kubelambda-pollers"

log = logging.getLogger(__name__)


class MappingReport:
    """The pollers' part of one mapping's status. Nothing is written twice, and a write that fails is not the end."""

    def __init__(self, client: KubeClient, view: MappingView) -> None:
        self._client = client
        self._view = view
        self._since: dict[bool, str] = {}
        self._written: dict[str, Any] = {}
        self._ended = False

    async def polling(self, note: str, *, pollers: int, lag: int | None = None, result: str | None = None) -> None:
        """The source answers. Queues have a `lag`, streams the `result` of the last batch."""
        members = {"lag": lag, "pollers": pollers, "lastProcessingResult": result}
        await self._write(
            True, Reason.POLLING, note, {name: each for name, each in members.items() if each is not None}
        )

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
        members = {"pollers": 0, "lastProcessingResult": result}
        await self._write(False, reason, message, {name: each for name, each in members.items() if each is not None})

    async def _write(self, good: bool, reason: Reason, message: str, members: dict[str, Any]) -> None:
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
        status = {"conditions": [condition.model_dump(mode="json", by_alias=True, exclude_none=True)], **members}
        if self._ended or status == self._written:
            return
        manifest = {"metadata": {"name": self._view.name, "namespace": self._view.namespace}, "status": status}
        try:
            await self._client.apply(EVENT_SOURCE_MAPPINGS, manifest, manager=FIELD_MANAGER, subresource="status")
        except KubeError as error:
            log.info("%s/%s: its status cannot be written: %s", self._view.namespace, self._view.name, error)
        else:
            self._written = status
