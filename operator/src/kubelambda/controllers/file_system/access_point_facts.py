"""What others may know of an AccessPoint."""

from kubelambda.api.conditions import Condition
from kubelambda.api.kinds.access_point import AccessPointSpec
from kubelambda.api.reasons import Reason
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.core.file_system.mount_failure import MOUNTED
from kubelambda.core.file_system.mounts import AccessPointFacts
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ACCESS_POINTS


def access_point_facts(body: Object) -> AccessPointFacts:
    """The facts of an AccessPoint object, whatever state it is in."""
    status = body.get("status") or {}
    ready: Object = next((each for each in status.get("conditions") or [] if each["type"] == "Ready"), {})
    mounted: Object | None = next((each for each in status.get("conditions") or [] if each["type"] == MOUNTED), None)
    current = status.get("observedGeneration") == body["metadata"]["generation"]
    return AccessPointFacts(
        spec=AccessPointSpec.model_validate(body["spec"], extra="ignore"),
        ready=current and ready.get("status") == "True",
        message=ready.get("message", "") if current else "was not looked at yet",
        zones=tuple(status.get("zones") or ()),
        mounted=Condition.model_validate(mounted, extra="ignore") if mounted else None,
        held=tuple(status.get("heldClaims") or ()),
        looked_at=current,
        claim_missing=current and ready.get("reason") == Reason.CLAIM_MISSING,
    )


WATCHED_ACCESS_POINTS = Watch(ACCESS_POINTS, access_point_facts)
