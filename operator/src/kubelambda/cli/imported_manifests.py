"""Manifests of what another Lambda has: from its words to our kinds, and what is left out. Pure."""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kubelambda.api import labels
from kubelambda.api.kinds.event_source_mapping import EventSourceMappingSpec
from kubelambda.api.kinds.function import FunctionSpec
from kubelambda.api.kinds.function_url import FunctionUrl
from kubelambda.api.model import Model
from kubelambda.awsapi.function.spec_changes import CONFIGURATION, changed, renamed
from kubelambda.awsapi.mapping.mapping_configuration import source_defaults, source_of
from kubelambda.awsapi.model.service_model import ServiceModel
from kubelambda.awsapi.model.spec_members import field_name, to_field
from kubelambda.core.code.layer_reference import layer_object_name
from kubelambda.core.function.object_name import object_names

INLINE_MAX_BYTES: Final = 750_000
"""Of an archive that a manifest carries: in base64 it must fit into an object."""
type Manifest = dict[str, Any]
_ANSWERED_ONLY: Final = {"SnapStart": "OptimizationStatus", "VpcConfig": "VpcId"}
_LITERAL = re.compile(r"'([^']*)'")
_TAKEN: Final = frozenset(CONFIGURATION) | {"FunctionName", "Environment", "VpcConfig", "DeadLetterConfig", "Tags"}
_ANSWERS: Final = frozenset(
    {"FunctionArn", "CodeSize", "CodeSha256", "LastModified", "Version", "MasterArn", "RevisionId", "State"}
    | {"StateReason", "StateReasonCode", "LastUpdateStatus", "LastUpdateStatusReason", "LastUpdateStatusReasonCode"}
    | {"ImageConfigResponse", "SigningProfileVersionArn", "SigningJobArn", "RuntimeVersionConfig"}
)
"""Members of a FunctionConfiguration that say how it is, not what it shall be."""
_CONDITIONS: Final = {
    "AWS:SourceAccount": "sourceAccount",
    "AWS:SourceArn": "sourceArn",
    "lambda:EventSourceToken": "eventSourceToken",
    "lambda:FunctionUrlAuthType": "functionUrlAuthType",
    "aws:PrincipalOrgID": "principalOrgId",
}
_ACCOUNT = re.compile(r"arn:[^:]+:iam::(\d{12}):root")


class CodeTooLarge(Exception):
    """An archive has no place; the message says what to do."""


@dataclass(slots=True)
class Imported:
    """Manifests, and for people what could not be taken over."""

    manifests: list[Manifest] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, kind: str, name: str, spec: Mapping[str, Any]) -> None:
        """One more object."""
        api_version = f"{labels.GROUP}/{labels.VERSION}"
        self.manifests.append({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": dict(spec)})


@dataclass(frozen=True, slots=True)
class CodeAddress:
    """Where archives will be that are too large for an object: they are published below `prefix`."""

    prefix: str | None = None

    def content(self, name: str, archive: bytes) -> dict[str, str]:
        """`spec.code` of an archive. Raises `CodeTooLarge`."""
        if self.prefix is not None:
            digest = hashlib.sha256(archive).hexdigest()
            return {"url": f"{self.prefix.rstrip('/')}/{name}.zip", "sha256": digest}
        if len(archive) > INLINE_MAX_BYTES:
            text = f"the code of {name} has {len(archive)} bytes and does not fit into an object: give --code-url"
            raise CodeTooLarge(text)
        return {"zipFile": base64.b64encode(archive).decode()}


def function_spec(configuration: Mapping[str, Any], code: Mapping[str, Any], into: Imported) -> dict[str, Any]:
    """`spec` of a Function out of a FunctionConfiguration or CreateFunction's parameters; what is left out is noted."""
    name = configuration["FunctionName"]
    for member in configuration.keys() - _TAKEN - _ANSWERS:
        into.notes.append(f"Function {name}: {member} is not served and was left out: {configuration[member]}")
    members = {
        member: _without(value, _ANSWERED_ONLY.get(member)) for member, value in configuration.items() if value != ""
    }
    image = (configuration.get("ImageConfigResponse") or {}).get("ImageConfig")
    if image:
        members["ImageConfig"] = image
    members["Layers"] = [_layer_of(each) for each in configuration.get("Layers") or ()]
    log = dict(members.get("LoggingConfig") or {})
    if log.get("LogGroup") == f"/aws/lambda/{name}":
        del log["LogGroup"]
    members["LoggingConfig"] = log
    for member in ("Layers", "LoggingConfig", "FileSystemConfigs"):
        if not members.get(member):
            members.pop(member, None)
    spec = {**changed({}, members), "code": dict(code)}
    if object_names(name)[0] != name:
        spec["functionName"] = name
    return served(FunctionSpec, spec, f"Function {name}", into.notes)


def function_url(config: Mapping[str, Any] | None, what: str, into: Imported) -> dict[str, Any] | None:
    """`spec.url` out of a FunctionUrlConfig; its address is another one here."""
    if config is None:
        return None
    members = {member: config[member] for member in ("AuthType", "InvokeMode", "Cors") if config.get(member)}
    return served(FunctionUrl, renamed(members), f"The URL of {what}", into.notes)


def served(model: type[Model], spec: Mapping[str, Any], what: str, notes: list[str]) -> dict[str, Any]:
    """A spec without the fields that the kind does not have or refuses as not served; each is noted."""
    known = {found.alias or name for name, found in model.model_fields.items()}
    refused = dict(_not_served(model))
    after: dict[str, Any] = {}
    for name, value in spec.items():
        unless = refused.get(name, "")
        if name not in known or (name in refused and not _is_only(value, unless)):
            notes.append(f"{what}: {name} is not served and was left out: {value}")
        else:
            after[name] = value
    return after


def _not_served(model: type[Model]) -> Iterable[tuple[str, str]]:
    """Fields that rules of the model refuse, each with the value that they let pass, if any."""
    extra = model.model_config.get("json_schema_extra") or {}
    rules = extra.get("x-kubernetes-validations", []) if isinstance(extra, dict) else []
    for rule in rules if isinstance(rules, list) else []:
        if isinstance(rule, dict) and "would be ignored: remove it" in str(rule["message"]) and "fieldPath" in rule:
            literal = _LITERAL.search(str(rule["rule"]))
            yield str(rule["fieldPath"]).removeprefix("."), literal[1] if literal else ""


def _is_only(value: Any, literal: str) -> bool:
    """Whether nothing in a value is anything but the literal."""
    if isinstance(value, Mapping):
        return all(_is_only(each, literal) for each in value.values())
    if isinstance(value, list):
        return all(_is_only(each, literal) for each in value)
    return bool(literal) and value == literal


def _without(value: Any, member: str | None) -> Any:
    if member is None or not isinstance(value, Mapping):
        return value
    return {name: each for name, each in value.items() if name != member}


def _layer_of(given: Any) -> str:
    """A layer version as the imported Layer publishes it: its first and only one."""
    arn = given["Arn"] if isinstance(given, Mapping) else str(given)
    return f"{imported_layer(arn)}:1" if ":layer:" in arn else arn


def imported_layer(arn: str) -> str:
    """Name of the Layer that one version of a layer becomes: numbers begin anew here."""
    _, _, rest = arn.partition(":layer:")
    layer, _, number = rest.partition(":")
    return f"{layer_object_name(layer)}-v{number}"


def permissions(policy: Mapping[str, Any]) -> list[dict[str, str]]:
    """`spec.permissions` of a resource policy's statements."""
    return [_permission(statement) for statement in policy.get("Statement", ()) if statement.get("Effect") == "Allow"]


def _permission(statement: Mapping[str, Any]) -> dict[str, str]:
    principal = statement["Principal"]
    if isinstance(principal, Mapping):
        principal = principal.get("Service") or principal.get("AWS")
    account = _ACCOUNT.fullmatch(str(principal))
    found = {
        "statementId": statement["Sid"],
        "action": statement["Action"],
        "principal": account[1] if account else str(principal),
    }
    given = {name: value for each in (statement.get("Condition") or {}).values() for name, value in each.items()}
    return found | {_CONDITIONS[name]: str(value) for name, value in given.items() if name in _CONDITIONS}


def event_invoke_config(found: Mapping[str, Any]) -> dict[str, Any]:
    """`spec.eventInvokeConfig` of Lambda's."""
    numbers = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds")
    after: dict[str, Any] = {field_name(name): found[name] for name in numbers if found.get(name) is not None}
    ends = {
        field_name(end): {"destination": each["Destination"]}
        for end, each in (found.get("DestinationConfig") or {}).items()
        if each.get("Destination")
    }
    return after | ({"destinationConfig": ends} if ends else {})


def mapping_spec(model: ServiceModel, found: Mapping[str, Any], into: Imported) -> dict[str, Any]:
    """`spec` of an EventSourceMapping out of a configuration or of CreateEventSourceMapping's parameters."""
    function = str(found.get("FunctionArn") or found["FunctionName"])
    name = function.partition(":function:")[2] or function
    members = model.members("CreateEventSourceMappingRequest")
    defaults = source_defaults(source_of(found))
    spec: dict[str, Any] = {"functionName": name.removesuffix(":$LATEST")}
    for member, value in found.items():
        if member in members and member not in ("FunctionName", "Tags") and value != defaults.get(member):
            spec[field_name(member)] = to_field(model, members[member]["shape"], value)
    if str(found.get("State", "")).startswith("Disabl"):
        spec["enabled"] = False
    return served(EventSourceMappingSpec, spec, f"EventSourceMapping of {name}", into.notes)


def mapping_name(found: Mapping[str, Any]) -> str:
    """Name of the object of a mapping: its function, and what tells its sources apart."""
    function = str(found.get("FunctionArn") or found["FunctionName"])
    function = (function.partition(":function:")[2] or function).partition(":")[0]
    digest = hashlib.sha256(repr(found.get("EventSourceArn") or found.get("SelfManagedEventSource")).encode())
    return f"{object_names(function)[0][:40].strip('-')}-{digest.hexdigest()[:10]}"
