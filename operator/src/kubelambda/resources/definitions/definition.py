"""What every CustomResourceDefinition is made of: a structural schema out of a pydantic model, rules, columns."""

from typing import Any

from kubelambda.api import labels
from kubelambda.api.model import Model

type Manifest = dict[str, Any]

_DROPPED = {"title", "$defs"}
READY = '.status.conditions[?(@.type=="Ready")]'


def structural(model: type[Model]) -> Manifest:
    """The structural OpenAPI v3 schema of a model."""
    schema = model.model_json_schema(by_alias=True)
    return _converted(schema, schema.get("$defs", {}))


def _converted(node: Manifest, known: Manifest) -> Manifest:
    node = _resolved(node, known)
    converted: Manifest = {}
    for key, value in node.items():
        match key:
            case "properties":
                converted[key] = {name: _converted(child, known) for name, child in value.items()}
            case "items":
                converted[key] = _converted(value, known)
            case "additionalProperties":
                if isinstance(value, dict):
                    converted[key] = _converted(value, known)
            case "const":
                converted["enum"] = [value]
            case "exclusiveMinimum":
                converted |= {"minimum": value, "exclusiveMinimum": True}
            case "default":
                converted[key] = _without_nulls(value)
            case _ if key not in _DROPPED:
                converted[key] = value
    return converted


def _resolved(node: Manifest, known: Manifest) -> Manifest:
    """References inlined, and `X | None` as an X that may be left out."""
    if "anyOf" in node:
        option = next(option for option in node["anyOf"] if option.get("type") != "null")
        node = option | {key: value for key, value in node.items() if key not in ("anyOf", "default")}
    if "$ref" in node:
        target = known[node["$ref"].rpartition("/")[2]]
        node = target | {key: value for key, value in node.items() if key != "$ref"}
    # The API server keeps no empty list of properties: whoever applies a definition that has one seems to change it.
    return {key: value for key, value in node.items() if key != "properties" or value}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return value


def definition(
    *,
    kind: str,
    plural: str,
    short: str | None,
    scope: str,
    spec: type[Model],
    status: type[Model],
    columns: list[Manifest],
    initial_status: Manifest,
    rules: list[dict[str, str]],
    scale: Manifest | None = None,
    selectable: tuple[str, ...] = (),
) -> Manifest:
    """The CustomResourceDefinition of one kind. `initial_status` is what an object says until the operator saw it.

    `scale` has the paths of a scale subresource; by the `selectable` paths the API server selects objects.
    """
    schema: Manifest = {
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(spec),
            # What an object says of itself until the operator has seen it.
            "status": structural(status) | {"default": initial_status},
        },
    }
    if rules:
        schema["x-kubernetes-validations"] = rules
    version = {
        "name": labels.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}} | ({"scale": scale} if scale else {}),
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": schema},
    }
    if selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in selectable]
    names = {
        "kind": kind,
        "plural": plural,
        "singular": kind.lower(),
        **({"shortNames": [short]} if short else {}),
        "categories": ["kubelambda"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{labels.GROUP}"},
        "spec": {"group": labels.GROUP, "scope": scope, "names": names, "versions": [version]},
    }


def column(name: str, path: str, kind: str = "string", *, wide: bool = False) -> Manifest:
    """One column of `kubectl get`; a wide one only with `--output wide`."""
    return {"name": name, "type": kind, "jsonPath": path} | ({"priority": 1} if wide else {})
