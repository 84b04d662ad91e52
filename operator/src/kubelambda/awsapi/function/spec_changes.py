"""What parameters of an operation change in the spec of a Function: pure, from Lambda's words to ours (§1.3)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

type Path = tuple[str, ...]

CONFIGURATION: Final = (
    "Role",
    "Handler",
    "Runtime",
    "Description",
    "Timeout",
    "MemorySize",
    "PackageType",
    "Architectures",
    "EphemeralStorage",
    "TracingConfig",
    "SnapStart",
    "LoggingConfig",
    "Layers",
    "FileSystemConfigs",
    "ImageConfig",
    "KMSKeyArn",
    "DurableConfig",
    "CapacityProviderConfig",
    "TenancyConfig",
    "CodeSigningConfigArn",
    "PublishTo",
    "RuntimeConfig",
    "AcceleratorConfig",
)
"""Members whose names and values are ours but for the case of the first letter. The API server knows which it takes."""
DECLARATIVE: Final = "Apply"
_CLIENT_SIDE_APPLY: Final = "kubectl-client-side-apply"


def changed(spec: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """`spec` as the parameters of a create or an update leave it; what they do not name stays."""
    after = dict(spec)
    for member in CONFIGURATION:
        if member in parameters:
            after[_ours(member)] = renamed(parameters[member])
    if "Environment" in parameters:
        variables = dict(parameters["Environment"].get("Variables") or {})
        after["environment"] = {**(spec.get("environment") or {}), "variables": variables}
    if "VpcConfig" in parameters:
        network = renamed(parameters["VpcConfig"])
        after["vpcConfig"] = network if network.get("subnetIds") or network.get("securityGroupIds") else None
    if "DeadLetterConfig" in parameters:
        target = parameters["DeadLetterConfig"].get("TargetArn")
        after["deadLetterConfig"] = {"targetArn": target} if target else None
    return {name: value for name, value in after.items() if value is not None}


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch that makes `after` of `before`: nothing that stays, null for what goes."""
    patch: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            inner = merge_patch(old, value)
            if inner:
                patch[name] = inner
        elif name not in before or value != old:
            patch[name] = value
    return patch


def paths(patch: Mapping[str, Any], root: Path = ()) -> Iterator[Path]:
    """The fields that a merge patch writes."""
    for name, value in patch.items():
        if isinstance(value, Mapping) and value:
            yield from paths(value, (*root, name))
        else:
            yield (*root, name)


def owners(
    managed_fields: Sequence[Mapping[str, Any]], changes: Sequence[Path], *, applied: Mapping[str, Any] | None = None
) -> list[tuple[str, str]]:
    """Managers that declare one of the fields, each with the first such field, as `spec.timeout`.

    Only who applies a whole configuration again and again counts: it would undo the change, or be in conflict with it
    from then on. A single `kubectl edit` has no such claim. `applied` is the configuration that `kubectl apply` keeps
    with the object: Kubernetes takes the defaults of what it created for declared, too.
    """
    found: dict[str, str] = {}
    for entry in managed_fields:
        declares = entry.get("operation") == DECLARATIVE or entry.get("manager") == _CLIENT_SIDE_APPLY
        if not declares or entry.get("subresource"):
            continue
        shown = applied if entry.get("manager") == _CLIENT_SIDE_APPLY else None
        for path in changes:
            if entry["manager"] in found or (shown is not None and not _given(shown, path)):
                continue
            if _declared(entry.get("fieldsV1") or {}, path):
                found[entry["manager"]] = ".".join(path)
    return list(found.items())


def _given(configuration: Mapping[str, Any], path: Path) -> bool:
    """Whether a configuration says something of `path`, of all that it is in, or of something in it."""
    node: Any = configuration
    for name in path:
        if not isinstance(node, Mapping):
            return True
        if name not in node:
            return False
        node = node[name]
    return True


def _declared(fields: Mapping[str, Any], path: Path) -> bool:
    """Whether a set of fields holds `path`, something in it, or all of what it is in."""
    node = fields
    for depth, name in enumerate(path, 1):
        inner: Mapping[str, Any] | None = node.get(f"f:{name}")
        if inner is None:
            return False
        if not inner:
            return True
        if inner.keys() == {"."}:
            return depth == len(path)
        node = inner
    return True


def _ours(member: str) -> str:
    return member[:1].lower() + member[1:]


def renamed(value: Any) -> Any:
    """A value of theirs with the names of its members as ours."""
    if isinstance(value, Mapping):
        return {_ours(name): renamed(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [renamed(inner) for inner in value]
    return value
