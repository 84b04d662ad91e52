"""Leader election by a Lease: hold it, renew it, and end the process when it is lost."""

import asyncio
import logging
import os
import time
from datetime import UTC, datetime

from kubelambda.kube.errors import Conflict, KubeError, NotFound
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import LEASES

DURATION_S = 15
RENEW_DEADLINE_S = 10.0
RETRY_S = 2.0
_CALL_TIMEOUT_S = 2.5
"""An API server that hangs must not keep a leader from noticing that its time is up."""

log = logging.getLogger(__name__)


class LeaderLease:
    """One candidate for a Lease."""

    def __init__(self, client: KubeClient, *, namespace: str, name: str, identity: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._seen: tuple[str, float] = ("", 0.0)
        self._renewed: float | None = None
        self.contact = time.monotonic()
        """When the API server last answered, on the monotonic clock."""

    @property
    def held(self) -> bool:
        """Whether the lease is ours and has not run out; what fences every write."""
        return self._renewed is not None and time.monotonic() - self._renewed < RENEW_DEADLINE_S

    @property
    def age(self) -> float | None:
        """Seconds since the last renewal; None while another one leads."""
        return None if self._renewed is None else time.monotonic() - self._renewed

    async def acquire(self) -> None:
        """Returns once the lease is ours."""
        while not await self._try():  # noqa: ASYNC110 - nothing tells us when another one gives up
            await asyncio.sleep(RETRY_S)
        log.info("leading as %s", self._identity)

    async def hold(self) -> None:
        """Renews until that fails for too long, then ends the process at once: another one leads by then."""
        while True:
            await asyncio.sleep(RETRY_S)
            await self._try()
            if not self.held:
                log.critical("the lease %s/%s is lost: ending", self._namespace, self._name)
                logging.shutdown()
                os._exit(1)

    async def release(self) -> None:
        """Gives the lease up, so that the other replica need not wait for it to run out."""
        patch = {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}}
        await self._client.patch(LEASES, self._name, patch, self._namespace)

    async def _try(self) -> bool:
        started = time.monotonic()
        try:
            async with asyncio.timeout(_CALL_TIMEOUT_S):
                ours = await self._take_or_create()
        except (KubeError, TimeoutError) as error:
            log.warning("lease: %s", error or "the API server does not answer")
            return False
        self.contact = time.monotonic()
        if ours:
            self._renewed = started
        return ours

    async def _take_or_create(self) -> bool:
        try:
            lease = await self._client.get(LEASES, self._name, self._namespace)
        except NotFound:
            return await self._create()
        return await self._take(lease)

    async def _create(self) -> bool:
        manifest = {"metadata": {"name": self._name}, "spec": self._spec(transitions=0)}
        try:
            await self._client.create(LEASES, manifest, self._namespace)
        except Conflict:
            return False
        return True

    async def _take(self, lease: Object) -> bool:
        spec = lease.get("spec", {})
        holder = spec.get("holderIdentity") or ""
        version = lease["metadata"]["resourceVersion"]
        now = time.monotonic()
        if self._seen[0] != version:
            self._seen = (version, now)
        expired = now - self._seen[1] > spec.get("leaseDurationSeconds", DURATION_S)
        if holder not in ("", self._identity) and not expired:
            return False
        transitions = spec.get("leaseTransitions", 0) + (holder != self._identity)
        patch = {"metadata": {"resourceVersion": version}, "spec": self._spec(transitions)}
        try:
            await self._client.patch(LEASES, self._name, patch, self._namespace)
        except Conflict:
            return False
        return True

    def _spec(self, transitions: int) -> Object:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": DURATION_S,
            "renewTime": now,
            "leaseTransitions": transitions,
        }
