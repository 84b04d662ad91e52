"""How layer versions are named: shortly, by ARN, and as objects (§1.2.5)."""

import re
from dataclasses import dataclass

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
    return f"{layer}-{number}"


def layer_version_arn(region: str, account: str, layer: str, number: int) -> str:
    """ARN of a layer version (§1.2.5)."""
    return f"arn:aws:lambda:{region}:{account}:layer:{layer}:{number}"


def parse_layer(text: str) -> LayerReference | None:
    """The layer version that `text` names, `numpy:2` or an ARN; None when it is neither."""
    if found := _ARN.fullmatch(text):
        return LayerReference(found["layer"], int(found["number"]), found["account"], found["region"])
    if found := _SHORT.fullmatch(text):
        return LayerReference(found["layer"], int(found["number"]))
    return None
