"""SAM and CloudFormation templates as Lambda's own words: what can be known of them without deploying anything."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from kubelambda.cli.folder_archive import folder_archive
from kubelambda.core.code.archive import from_text

_FUNCTIONS: Final = ("AWS::Serverless::Function", "AWS::Lambda::Function")
_LAYERS: Final = ("AWS::Serverless::LayerVersion", "AWS::Lambda::LayerVersion")
_PSEUDO: Final = {"AWS::Region": "us-east-1", "AWS::AccountId": "000000000000", "AWS::Partition": "aws"}
_VARIABLE = re.compile(r"\$\{([^!}][^}]*)\}")
_SAME: Final = {"DeadLetterQueue": "DeadLetterConfig"}
_NOT_MEMBERS: Final = frozenset(
    {"CodeUri", "InlineCode", "Code", "Events", "Policies", "AutoPublishAlias", "ProvisionedConcurrencyConfig"}
    | {"EventInvokeConfig", "ImageUri", "Metadata", "PermissionsBoundary", "Tracing", "ReservedConcurrentExecutions"}
    | {"FunctionUrlConfig", "DeploymentPreference", "AutoPublishAliasAllProperties", "AssumeRolePolicyDocument"}
)
_SOURCES: Final = {
    "SQS": "Queue",
    "Kinesis": "Stream",
    "DynamoDB": "Stream",
    "MSK": "Stream",
    "MQ": "Broker",
    "SelfManagedKafka": "",
}
"""Events that are event source mappings, and the property that has the ARN of the source."""
_CODE_FILES: Final = {"nodejs": "index.js"}


class TemplateUnreadable(Exception):
    """The template says something that cannot be known without deploying it; the message says what would help."""


@dataclass(slots=True)
class TemplateFunction:
    """One function of a template: CreateFunction's members, and what SAM says beside them."""

    members: dict[str, Any]
    archive: bytes | None = None
    code: dict[str, str] = field(default_factory=dict)
    """Where the code is, when it is not here."""
    reserved: int | None = None
    alias: str | None = None
    provisioned: int | None = None
    event_invoke_config: dict[str, Any] | None = None
    mappings: list[dict[str, Any]] = field(default_factory=list)
    """CreateEventSourceMapping's members."""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TemplateLayer:
    """One layer of a template."""

    name: str
    archive: bytes
    properties: dict[str, Any]


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: `!Sub x` as {"Fn::Sub": "x"}."""


def _short_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = str(value).split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {name: value}


_Loader.add_multi_constructor("!", _short_form)


class SamTemplate:
    """A template beside its code. `parameters` stand for what only a deployment knows, such as `Queue.Arn`."""

    def __init__(self, path: Path, parameters: Mapping[str, str]) -> None:
        self._folder = path.parent
        document = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506 - a SafeLoader
        if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict):
            raise TemplateUnreadable(f"{path} has no Resources")
        defaults = {
            name: str(each["Default"])
            for name, each in (document.get("Parameters") or {}).items()
            if isinstance(each, dict) and "Default" in each
        }
        self._known = {**_PSEUDO, **defaults, **parameters}
        self._globals: dict[str, Any] = (document.get("Globals") or {}).get("Function") or {}
        self._resources: dict[str, Any] = document["Resources"]

    def layers(self) -> Iterator[TemplateLayer]:
        """All layers whose content is a folder or an archive beside the template."""
        for logical, resource in self._of_type(_LAYERS):
            properties = self._resolved(resource.get("Properties") or {})
            archive = self._local(properties.get("ContentUri"))
            if archive is None:
                raise TemplateUnreadable(f"layer {logical}: its ContentUri is no folder beside the template")
            yield TemplateLayer(self._layer_name(logical), archive, properties)

    def functions(self) -> Iterator[TemplateFunction]:
        """All functions."""
        for logical, resource in self._of_type(_FUNCTIONS):
            properties = self._resolved(_merged(self._globals, resource.get("Properties") or {}))
            yield self._function(logical, properties)

    def other_resources(self) -> list[str]:
        """What else the template has: logical name and type."""
        known = (*_FUNCTIONS, *_LAYERS)
        return [f"{name} ({each.get('Type')})" for name, each in self._resources.items() if each["Type"] not in known]

    def _of_type(self, types: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
        return ((name, each) for name, each in self._resources.items() if each.get("Type") in types)

    def _function(self, logical: str, properties: dict[str, Any]) -> TemplateFunction:
        name = properties.get("FunctionName") or logical
        members = {
            _SAME.get(member, member): value for member, value in properties.items() if member not in _NOT_MEMBERS
        } | {"FunctionName": name}
        members.pop("Role", None)
        if "Tracing" in properties:
            members["TracingConfig"] = {"Mode": properties["Tracing"]}
        if "TargetArn" in (members.get("DeadLetterConfig") or {}):
            members["DeadLetterConfig"] = {"TargetArn": members["DeadLetterConfig"]["TargetArn"]}
        tags = members.get("Tags")
        if isinstance(tags, list):
            members["Tags"] = {each["Key"]: each["Value"] for each in tags}
        found = TemplateFunction(members, reserved=properties.get("ReservedConcurrentExecutions"))
        found.alias = properties.get("AutoPublishAlias")
        found.provisioned = (properties.get("ProvisionedConcurrencyConfig") or {}).get(
            "ProvisionedConcurrentExecutions"
        )
        found.event_invoke_config = properties.get("EventInvokeConfig")
        self._add_code(found, properties)
        for event, given in (properties.get("Events") or {}).items():
            self._add_event(found, name, event, given)
        return found

    def _add_code(self, found: TemplateFunction, properties: Mapping[str, Any]) -> None:
        code = properties.get("Code") or {}
        text = properties.get("InlineCode") or code.get("ZipFile")
        image = properties.get("ImageUri") or code.get("ImageUri")
        if text is not None:
            runtime = str(properties.get("Runtime", ""))
            file = next((name for prefix, name in _CODE_FILES.items() if runtime.startswith(prefix)), "index.py")
            found.archive = from_text(file, text)
        elif image is not None:
            found.code = {"imageUri": image}
        else:
            found.archive = self._local(properties.get("CodeUri"))
            if found.archive is None:
                found.code = _stored(properties.get("CodeUri") or code)

    def _add_event(self, found: TemplateFunction, name: str, event: str, given: Mapping[str, Any]) -> None:
        kind, properties = given["Type"], dict(given.get("Properties") or {})
        if kind not in _SOURCES:
            found.notes.append(f"{name}: its event {event} of type {kind} is none of a mapping and was left out")
            return
        members: dict[str, Any] = {"FunctionName": name}
        if kind == "SelfManagedKafka":
            servers = properties.pop("KafkaBootstrapServers")
            members["SelfManagedEventSource"] = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": servers}}
        else:
            members["EventSourceArn"] = properties.pop(_SOURCES[kind])
        found.mappings.append({**properties, **members})

    def _local(self, uri: Any) -> bytes | None:
        if not isinstance(uri, str) or uri.startswith("s3://"):
            return None
        path = self._folder / uri
        if path.is_dir():
            return folder_archive(path)
        return path.read_bytes() if path.is_file() else None

    def _layer_name(self, logical: str) -> str:
        properties = self._resources[logical].get("Properties") or {}
        return str(self._resolved(properties.get("LayerName") or logical))

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._resolved(each) for each in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(name, argument)] = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._intrinsic(name, argument)
        return {name: self._resolved(each) for name, each in value.items()}

    def _intrinsic(self, name: str, argument: Any) -> Any:
        match name:
            case "Ref":
                return self._reference(argument)
            case "Fn::GetAtt":
                return self._attribute(".".join(argument))
            case "Fn::Sub":
                return self._substituted(argument)
            case "Fn::Join":
                return argument[0].join(str(self._resolved(each)) for each in argument[1])
        raise TemplateUnreadable(f"{name} is only known once the template is deployed")

    def _reference(self, name: str) -> Any:
        if name in self._known:
            return self._known[name]
        resource = self._resources.get(name) or {}
        if resource.get("Type") in _LAYERS:
            return f"{self._layer_name(name)}:1"
        if resource.get("Type") in _FUNCTIONS:
            return (resource.get("Properties") or {}).get("FunctionName") or name
        raise TemplateUnreadable(f"{name} is only known once the template is deployed: give --parameter {name}=…")

    def _attribute(self, name: str) -> str:
        if name in self._known:
            return self._known[name]
        logical, _, attribute = name.partition(".")
        if attribute == "Arn" and (self._resources.get(logical) or {}).get("Type") in _FUNCTIONS:
            place = f"{self._known['AWS::Region']}:{self._known['AWS::AccountId']}"
            return f"arn:aws:lambda:{place}:function:{self._reference(logical)}"
        raise TemplateUnreadable(f"{name} is only known once the template is deployed: give --parameter {name}=…")

    def _substituted(self, argument: Any) -> str:
        text, more = (argument, {}) if isinstance(argument, str) else (argument[0], argument[1])

        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name in more:
                return str(self._resolved(more[name]))
            return str(self._attribute(name) if "." in name else self._reference(name))

        return _VARIABLE.sub(value, text)


def _merged(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """SAM's globals under a resource's own: maps are merged, lists are joined."""
    after = dict(defaults)
    for name, value in given.items():
        before = after.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            after[name] = _merged(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            after[name] = [*before, *value]
        else:
            after[name] = value
    return after


def _stored(given: Any) -> dict[str, str]:
    """`spec.code` of code in a bucket."""
    if isinstance(given, str) and given.startswith("s3://"):
        bucket, _, key = given.removeprefix("s3://").partition("/")
        return {"s3Bucket": bucket, "s3Key": key}
    if isinstance(given, dict):
        names = {"Bucket": "s3Bucket", "S3Bucket": "s3Bucket", "Key": "s3Key", "S3Key": "s3Key"}
        return {ours: given[theirs] for theirs, ours in names.items() if theirs in given}
    return {}
