"""Evaluates every alias that scales, once a period, and writes what follows into its status (§8, D.6)."""

import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import ValidationError

from kubelambda.api.conditions import conditions_of, merge, timestamp
from kubelambda.api.kinds.alias import AliasSpec, AliasStatus, ScalingActivity
from kubelambda.api.kinds.provisioned_concurrency import ProvisionedConcurrencyState
from kubelambda.api.reasons import Reason
from kubelambda.autoscaler.scaling_metrics import ScalingMetrics
from kubelambda.autoscaler.utilization import ScalableTarget, Utilization, UtilizationReader, UtilizationUnavailable
from kubelambda.core.scaling.alias_scaling import AliasMetrics, ScalingOutcome, decide_scaling, scales
from kubelambda.core.scaling.target_tracking import Alarms
from kubelambda.kube.errors import KubeError
from kubelambda.kube.event_recorder import record_event
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import ALIASES

FIELD_MANAGER = "kubelambda-autoscaler"
_CONDITION = "ScalingActive"

log = logging.getLogger(__name__)


class AliasScaler:
    """The loop. Aliases are read anew each time, so that it keeps nothing that a restart could lose."""

    def __init__(self, client: KubeClient, reader: UtilizationReader, alarms: Alarms, metrics: ScalingMetrics) -> None:
        self._client = client
        self._reader = reader
        self._alarms = alarms
        self._metrics = metrics

    async def run(self) -> None:
        """Evaluates until cancelled, on the period's own boundaries."""
        while True:
            period = self._alarms.period
            await asyncio.sleep(period - time.time() % period)
            try:
                await self.evaluate_all(datetime.now(UTC))
            except KubeError as error:
                log.warning("aliases are not scaled for now: %s", error)

    async def evaluate_all(self, now: datetime) -> None:
        """One evaluation of every alias. One that cannot be evaluated never stops the others."""
        known: Mapping[ScalableTarget, Utilization] = {}
        unavailable = None
        try:
            known = await self._reader.read(now.timestamp())
        except UtilizationUnavailable as error:
            unavailable = str(error)
        self._metrics.begin()
        async for body in self._client.each(ALIASES):
            metadata = body["metadata"]
            try:
                await self._evaluate(body, known, unavailable, now)
            except (ValidationError, KubeError) as error:
                log.warning("alias %s/%s is not scaled: %s", metadata["namespace"], metadata["name"], error)
            except Exception:
                # A loop that ends would take the operator with it, for everybody.
                log.exception("alias %s/%s is not scaled", metadata["namespace"], metadata["name"])
        self._metrics.end()

    async def _evaluate(
        self, body: Object, known: Mapping[ScalableTarget, Utilization], unavailable: str | None, now: datetime
    ) -> None:
        spec = AliasSpec.model_validate(body["spec"], extra="ignore")
        before = AliasStatus.model_validate(body.get("status") or {}, extra="ignore")
        wanted = spec.provisioned_concurrency
        target = ScalableTarget(body["metadata"]["namespace"], spec.function_name, spec.name)
        if wanted is not None and (said := before.provisioned_concurrency) is not None:
            failed = said.status is ProvisionedConcurrencyState.FAILED
            self._metrics.provisioned(target, requested=said.requested, failed=failed)
        if wanted is None or not scales(wanted) or _is_another(before):
            if before.scaling is not None:
                await self._apply(body, {})
            return
        metrics = AliasMetrics(unavailable=unavailable) if unavailable else _metrics(known.get(target), before)
        outcome = decide_scaling(wanted, before.scaling, metrics, now=now, alarms=self._alarms)
        self._metrics.scaling(target, active=outcome.fact[0] == "True")
        await self._report(body, before, outcome, now)

    async def _report(self, body: Object, before: AliasStatus, outcome: ScalingOutcome, now: datetime) -> None:
        fact = (_CONDITION, *outcome.fact)
        known = [found for found in before.conditions if found.type == _CONDITION]
        conditions = merge(known, conditions_of([fact], now, generation=body["metadata"]["generation"]))
        activity = before.last_scaling_activity
        if outcome.cause is not None:
            activity = ScalingActivity(
                time=timestamp(now),
                status_code="Successful",
                cause=outcome.cause,
                from_capacity=outcome.before,
                to_capacity=outcome.state.capacity,
            )
        if (outcome.state, activity, conditions) == (before.scaling, before.last_scaling_activity, known):
            return
        found: Object = {
            "scaling": outcome.state.model_dump(mode="json", by_alias=True, exclude_none=True),
            "conditions": [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in conditions],
        }
        if activity is not None:
            found["lastScalingActivity"] = activity.model_dump(mode="json", by_alias=True, exclude_none=True)
        await self._apply(body, found)
        await self._tell(body, outcome, was_active=not known or known[0].status == "True")

    async def _tell(self, body: Object, outcome: ScalingOutcome, *, was_active: bool) -> None:
        metadata = body["metadata"]
        status, reason, message = outcome.fact
        if outcome.cause is not None:
            log.info("alias %s/%s: %s", metadata["namespace"], metadata["name"], outcome.cause)
            await record_event(self._client, ALIASES, metadata, "Scaled", outcome.cause, warning=False, action="Scale")
        if status == "False" and was_active:
            await record_event(self._client, ALIASES, metadata, reason, message, warning=True, action="Scale")

    async def _apply(self, body: Object, status: Object) -> None:
        metadata = {"name": body["metadata"]["name"], "namespace": body["metadata"]["namespace"]}
        manifest = {"metadata": metadata, "status": status}
        await self._client.apply(ALIASES, manifest, manager=FIELD_MANAGER, subresource="status")


def _is_another(status: AliasStatus) -> bool:
    """Whether an older object is this alias already, whose utilization it would take for its own."""
    return any(each.type == "Ready" and each.reason == Reason.DUPLICATE for each in status.conditions)


def _metrics(found: Utilization | None, status: AliasStatus) -> AliasMetrics:
    """Samples, unless the source does not know environments that are there: then it sees only a part."""
    provisioned = status.provisioned_concurrency
    available = provisioned.available if provisioned else 0
    if available and (found is None or not found.allocated):
        return AliasMetrics(unavailable=f"the metrics know nothing of its {available} provisioned environments")
    return AliasMetrics(found.samples if found else ())
