"""CustomResourceDefinitions out of the pydantic models: structural schemas, CEL rules, columns (DESIGN §3)."""

from typing import Any

from kubelambda.api import labels, limits
from kubelambda.api.function import FunctionSpec, FunctionStatus
from kubelambda.api.model import Model
from kubelambda.api.runtime import RuntimeSpec, RuntimeStatus
from kubelambda.api.validations import rule

type Manifest = dict[str, Any]

_DROPPED = {"title", "$defs"}
_READY = '.status.conditions[?(@.type=="Ready")]'


def definitions() -> list[Manifest]:
    """Every definition, in the order in which `crds/` lists them."""
    return [_function(), _runtime()]


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
    return node


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return value


def _definition(
    *,
    kind: str,
    plural: str,
    short: str,
    scope: str,
    spec: type[Model],
    status: type[Model],
    columns: list[Manifest],
    initial_status: Manifest,
    rules: list[dict[str, str]],
) -> Manifest:
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
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": schema},
    }
    names = {
        "kind": kind,
        "plural": plural,
        "singular": kind.lower(),
        "shortNames": [short],
        "categories": ["kubelambda"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{labels.GROUP}"},
        "spec": {"group": labels.GROUP, "scope": scope, "names": names, "versions": [version]},
    }


def _column(name: str, path: str, kind: str = "string", *, wide: bool = False) -> Manifest:
    return {"name": name, "type": kind, "jsonPath": path} | ({"priority": 1} if wide else {})


def _function() -> Manifest:
    most = limits.FUNCTION_NAME_MAX_CHARS
    return _definition(
        kind="Function",
        plural="functions",
        short="fn",
        scope="Namespaced",
        spec=FunctionSpec,
        status=FunctionStatus,
        columns=[
            _column("Runtime", ".spec.runtime"),
            _column("State", ".status.state"),
            _column("Memory", ".spec.memorySize", "integer"),
            _column("Timeout", ".spec.timeout", "integer"),
            _column("Reserved", ".status.reservedConcurrentExecutions", "integer"),
            _column("Ready", f"{_READY}.status"),
            _column("Age", ".metadata.creationTimestamp", "date"),
            _column("Handler", ".spec.handler", wide=True),
            _column("Code size", ".status.codeSize", "integer", wide=True),
            _column("Last update", ".status.lastUpdateStatus", wide=True),
            _column("Reason", f"{_READY}.reason", wide=True),
            _column("Message", f"{_READY}.message", wide=True),
        ],
        initial_status={"observedGeneration": -1, "state": "Pending"},
        rules=[
            rule(f"self.metadata.name.size() <= {most}", f"the name of a Function has at most {most} characters"),
            rule("!self.metadata.name.contains('.')", "the name of a Function has no dots, as in Lambda"),
        ],
    )


def _runtime() -> Manifest:
    return _definition(
        kind="Runtime",
        plural="runtimes",
        short="rt",
        scope="Cluster",
        spec=RuntimeSpec,
        status=RuntimeStatus,
        columns=[
            _column("Image", ".spec.image"),
            _column("Prestart", ".spec.prestart"),
            _column("Pool", ".spec.pool.size", "integer"),
            _column("Functions", ".status.functions", "integer"),
            _column("Idle", ".status.idle", "integer"),
            _column("Ready", f"{_READY}.status"),
            _column("Age", ".metadata.creationTimestamp", "date"),
            _column("Pools", ".status.pools", "integer", wide=True),
            _column("Reason", f"{_READY}.reason", wide=True),
            _column("Message", f"{_READY}.message", wide=True),
        ],
        initial_status={"observedGeneration": -1},
        rules=[rule("self.metadata.name.size() <= 45", "the name of a Runtime has at most 45 characters")],
    )
