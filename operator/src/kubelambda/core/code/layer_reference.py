"""How layer versions are named: shortly, by ARN, and as objects (§1.2.5)."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

NAME_MAX_CHARS: Final = 140
_OBJECT = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_DIGITS: Final = 10
_STEM_MAX_CHARS: Final = 60
_ARN = re.compile(r"arn:[^:]+:lambda:(?P<region>[^:]+):(?P<account>\d{12}):layer:(?P<layer>[^:]+):(?P<number>\d+)")
_SHORT = re.compile(r"(?P<layer>[^:]+):(?P<number>\d+)")


@dataclass(frozen=True, slots=True)
class LayerReference:
    """A layer version as a function names it."""

    layer: str
    number: int
    account: str | None = None
    region: str | None = None

    @property
    def object_name(self) -> str:
        """Name of the LayerVersion object."""
        return layer_version_name(self.layer, self.number)


def layer_version_name(layer: str, number: int) -> str:
    """Name of the object of a version."""
    return f"{layer_object_name(layer)}-{number}"


def layer_object_name(layer: str) -> str:
    """Name of the object of a layer: its own, or one that Kubernetes takes (My_Layer)."""
    if _OBJECT.fullmatch(layer) and len(layer) <= NAME_MAX_CHARS:
        return layer
    stem = re.sub(r"[^a-z0-9-]+", "-", layer.lower())[:_STEM_MAX_CHARS].strip("-") or "layer"
    return f"{stem}-{hashlib.sha256(layer.encode()).hexdigest()[:_DIGITS]}"


def layer_name_of(body: Mapping[str, Any]) -> str:
    """Lambda's name of a Layer object: what its spec says, else the object's own."""
    name: str = (body.get("spec") or {}).get("layerName") or body["metadata"]["name"]
    return name


def layer_arn(region: str, account: str, layer: str) -> str:
    """ARN of a layer (§1.2.5)."""
    return f"arn:aws:lambda:{region}:{account}:layer:{layer}"


def layer_version_arn(region: str, account: str, layer: str, number: int) -> str:
    """ARN of a layer version (§1.2.5)."""
    return f"{layer_arn(region, account, layer)}:{number}"


def parse_layer(text: str) -> LayerReference | None:
    """The layer version that `text` names, `numpy:2` or an ARN; None when it is neither."""
    if found := _ARN.fullmatch(text):
        return LayerReference(found["layer"], int(found["number"]), found["account"], found["region"])
    if found := _SHORT.fullmatch(text):
        return LayerReference(found["layer"], int(found["number"]))
    return None
