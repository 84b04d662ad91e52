"""What others may know of Layers and their versions."""

from dataclasses import dataclass
from sys import intern

from kubelambda.api.reasons import Reason
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.core.code.layer_reference import layer_name_of
from kubelambda.core.code.layer_sharing import LayerGrant, layer_grants
from kubelambda.core.code.layer_versions import LayerVersionFacts
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import LAYER_VERSIONS, LAYERS


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """The parts of a Layer that others decide by."""

    generation: int
    layer: str
    """Lambda's name of it."""
    grants: tuple[LayerGrant, ...]
    """Whom its policies let have its versions."""
    publishing: bool
    """Whether another version may come of it as it is: it was not looked at yet, or its content is being fetched."""


def layer_version_facts(body: Object) -> LayerVersionFacts:
    """The facts of a LayerVersion object."""
    spec = body["spec"]
    content = spec["content"]
    return LayerVersionFacts(
        uid=body["metadata"]["uid"],
        layer=intern(spec["layerName"]),
        number=spec["version"],
        sha256=content["sha256"],
        size=content["size"],
        unzipped_size=content["unzippedSize"],
        signature=content["signature"],
        runtimes=tuple(spec.get("compatibleRuntimes") or ()),
        architectures=tuple(spec.get("compatibleArchitectures") or ()),
        source=content.get("source"),
        resolved=content.get("resolved"),
        terminating="deletionTimestamp" in body["metadata"],
    )


def layer_facts(body: Object) -> LayerFacts:
    """The facts of a Layer object."""
    generation, status = body["metadata"]["generation"], body.get("status") or {}
    permissions = (body.get("spec") or {}).get("permissions") or ()
    fetching = any(each["reason"] == Reason.IN_PROGRESS for each in status.get("conditions") or [])
    return LayerFacts(
        generation=generation,
        layer=intern(layer_name_of(body)),
        grants=layer_grants(permissions),
        publishing=fetching or status.get("observedGeneration") != generation,
    )


WATCHED_LAYERS = Watch(LAYERS, layer_facts)
WATCHED_LAYER_VERSIONS = Watch(LAYER_VERSIONS, layer_version_facts)
