"""CreateEventSourceMapping, GetEventSourceMapping, ListEventSourceMappings, Update… and Delete… (§7.1)."""

import hashlib
import time
from collections.abc import Mapping
from typing import Any, Final

from kubelambda.awsapi.api_error import ApiError, conflict, invalid_parameter
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.function.function_lookup import FunctionName, find_object, name_of
from kubelambda.awsapi.mapping.mapping_configuration import (
    POSITIONED,
    SELF_MANAGED,
    SHAPE,
    in_use,
    mapping_arn,
    mapping_configuration,
    source_of,
)
from kubelambda.awsapi.mapping.mapping_lookup import find_mapping, mappings_of, source_key
from kubelambda.awsapi.model.spec_members import field_name, members_of, to_field
from kubelambda.awsapi.object_writes import WRITE, delete, write_spec
from kubelambda.awsapi.refusal import refusal
from kubelambda.awsapi.tag.tag_limits import check_tags
from kubelambda.awsapi.version.version_operations import page_of
from kubelambda.core.function.object_name import object_names
from kubelambda.core.mapping.event_pattern import INVALID, InvalidPattern, compile_pattern
from kubelambda.kube.errors import Conflict, KubeError
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import EVENT_SOURCE_MAPPINGS

PAGE_MAX: Final = 100
_APART: Final = frozenset({"FunctionName", "UUID", "Tags"})
"""Members that are no fields of the same name."""
_REMOVED_WHEN_EMPTY: Final = frozenset(
    {"FilterCriteria", "ScalingConfig", "ProvisionedPollerConfig", "DestinationConfig"}
)

_MERGED: Final = frozenset({"AmazonManagedKafkaEventSourceConfig", "SelfManagedKafkaEventSourceConfig"})
"""Members of which an update changes a part: the consumer group stays what it is."""


async def create_event_source_mapping(services: Services, call: Call) -> Answer:
    """Starts to read a source for a function."""
    parameters = call.parameters
    source = source_of(parameters)
    if source is None:
        raise invalid_parameter("Unrecognized event source.")
    _check_members(parameters, source)
    function = await _function(services, call)
    check_tags(parameters.get("Tags") or {})
    spec = _spec(services, call, {"functionName": _named(function)})
    if parameters.get("Tags"):
        spec["tags"] = parameters["Tags"]
    await _check_unique(services, function, spec, source)
    body = await _created(services, function, spec, source)
    return _answer(services, call, function, body)


def _check_members(parameters: Mapping[str, Any], source: str) -> None:
    if source in POSITIONED and parameters.get("StartingPosition") is None:
        # Recorded under this type, and with a full stop (§0.5).
        raise invalid_parameter(
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
            "Member must not be null."
        )
    if source == "dynamodb" and parameters.get("StartingPosition") == "AT_TIMESTAMP":
        raise invalid_parameter(f"Unsupported starting position for arn type: {parameters['EventSourceArn']}")
    if source == "mq" and not parameters.get("Queues"):
        raise invalid_parameter("Required 'queues' parameter is missing.")
    if source in (SELF_MANAGED, "mq") and not parameters.get("SourceAccessConfigurations"):
        raise invalid_parameter("Required 'sourceAccessConfigurations' parameter is missing.")
    _check_change(parameters, source)


def _check_change(parameters: Mapping[str, Any], source: str) -> None:
    """What also an update must not say."""
    if source in ("sqs", "mq") and (parameters.get("DestinationConfig") or {}).get("OnFailure"):
        raise invalid_parameter("Unsupported DestinationConfig parameter for given event source mapping type.")
    if (parameters.get("DestinationConfig") or {}).get("OnSuccess"):
        raise invalid_parameter("Unsupported DestinationConfig parameter for given event source mapping type.")
    for each in (parameters.get("FilterCriteria") or {}).get("Filters") or ():
        try:
            compile_pattern(each.get("Pattern") or "")
        except InvalidPattern as error:
            raise invalid_parameter(INVALID) from error


async def _function(services: Services, call: Call) -> FunctionName:
    """The function that the mapping is for: of the caller's account, and there."""
    name = name_of(services, call)
    if name.account != call.caller or await find_object(services, name) is None:
        raise invalid_parameter("Function does not exist")
    return name


def _named(name: FunctionName) -> str:
    return name.name if name.qualifier is None else f"{name.name}:{name.qualifier}"


def _spec(services: Services, call: Call, before: Mapping[str, Any]) -> dict[str, Any]:
    """The spec with what the call says; members without a value go."""
    shape = services.model.shape(f"{call.operation}Request")
    after = dict(before)
    for member, value in call.parameters.items():
        if member in _APART:
            continue
        field = to_field(services.model, shape["members"][member]["shape"], value)
        if member == "DestinationConfig":  # an end without a destination is how callers take it away
            field = {end: each for end, each in field.items() if each}
        if member in _MERGED:
            field = {**(after.get(field_name(member)) or {}), **field}
        after[field_name(member)] = None if member in _REMOVED_WHEN_EMPTY and not _any(field) else field
    return {name: value for name, value in after.items() if value is not None}


def _any(value: Any) -> bool:
    return any(value.values()) if isinstance(value, Mapping) else bool(value)


async def _check_unique(services: Services, function: FunctionName, spec: Mapping[str, Any], source: str) -> None:
    key = source_key(services, spec)
    for body in await mappings_of(services, function.account, spec["functionName"]):
        if source_key(services, body["spec"]) == key:
            raise _exists(function, key, source, body["metadata"]["uid"])


def _exists(function: FunctionName, key: tuple[str, ...], source: str, uuid: str) -> ApiError:
    name = _named(function)
    if source == SELF_MANAGED:
        topics = ",".join(key[1:])
        text = f'An event source mapping with event source ("{key[0]}"), function ("{function.qualified_arn}"), '
        text += f'topics ("{topics}") already exists. '
    elif source == "sqs":
        text = f'An event source mapping with SQS arn (" {key[0]} ") and function (" {name} ") already exists. '
    else:
        text = f'The event source arn (" {key[0]} ") and function (" {name} ") provided mapping already exists. '
    return conflict(f"{text}Please update or delete the existing mapping with UUID {uuid}")


async def _created(services: Services, function: FunctionName, spec: Mapping[str, Any], source: str) -> Object:
    """Of two creates at once the object's name lets one succeed: it is made of source and function."""
    digest = hashlib.sha256("\0".join((*source_key(services, spec), spec["functionName"])).encode()).hexdigest()[:10]
    stem = object_names(function.name)[0][:40].strip("-")
    for metadata in ({"name": f"{stem}-{digest}"}, {"generateName": f"{stem}-"}):
        manifest = {
            "apiVersion": EVENT_SOURCE_MAPPINGS.api_version,
            "kind": EVENT_SOURCE_MAPPINGS.kind,
            "metadata": metadata,
            "spec": spec,
        }
        try:
            return await services.client.create(
                EVENT_SOURCE_MAPPINGS, manifest, function.account.namespace, query=WRITE
            )
        except Conflict:  # somebody was quicker, or the name is another mapping's
            await _check_unique(services, function, spec, source)
        except KubeError as error:
            raise refusal(error) from error
    raise conflict(f"It changes faster than it can be created: {function.qualified_arn}")


async def get_event_source_mapping(services: Services, call: Call) -> Answer:
    """One mapping."""
    body = await find_mapping(services, call.caller, call.parameters["UUID"])
    return _answer(services, call, None, body, status=200)


async def list_event_source_mappings(services: Services, call: Call) -> Answer:
    """Mappings of the account, or those of a function or a source."""
    function = None
    if "FunctionName" in call.parameters:
        name = name_of(services, call)
        function = _named(name)
    source = call.parameters.get("EventSourceArn")
    region, account = services.settings.region, call.caller.id
    found = [
        mapping_configuration(services.model, body, region, account)
        for body in await mappings_of(services, call.caller, function)
        if source is None or body["spec"].get("eventSourceArn") == source
    ]
    return Answer(page_of(call, "EventSourceMappings", found, PAGE_MAX))


async def update_event_source_mapping(services: Services, call: Call) -> Answer:
    """Changes what the call names."""
    uuid = call.parameters["UUID"]
    body = await find_mapping(services, call.caller, uuid)
    function = await _function(services, call) if "FunctionName" in call.parameters else None
    _check_change(call.parameters, _source(services, body) or "")

    def spec(before: Object) -> Mapping[str, Any]:
        _require_settled(before, "update")
        named = before["spec"] if function is None else {**before["spec"], "functionName": _named(function)}
        return _spec(services, call, named)

    arn = mapping_arn(services.settings.region, call.caller.id, uuid)
    body = await write_spec(
        services, EVENT_SOURCE_MAPPINGS, arn, lambda: find_mapping(services, call.caller, uuid), spec
    )
    return _answer(services, call, None, body)


def _source(services: Services, body: Object) -> str | None:
    return source_of(members_of(services.model, services.model.shape(SHAPE), body["spec"]))


def _require_settled(body: Object, verb: str) -> None:
    """Refuses a change while another one is under way (§7.1.2)."""
    if in_use(body, time.time()):
        text = f"Cannot {verb} the event source mapping because it is in use."
        raise ApiError("ResourceInUseException", text)


async def delete_event_source_mapping(services: Services, call: Call) -> Answer:
    """Nothing is read any more; what was not processed stays in the source."""
    body = await find_mapping(services, call.caller, call.parameters["UUID"])
    _require_settled(body, "delete")
    await delete(services, EVENT_SOURCE_MAPPINGS, body)
    answer = _answer(services, call, None, body)
    return Answer({**(answer.members or {}), "State": "Deleting"}, answer.status, answer.resource)


def _answer(
    services: Services, call: Call, function: FunctionName | None, body: Object, status: int | None = None
) -> Answer:
    account = call.caller if function is None else function.account
    members = mapping_configuration(services.model, body, services.settings.region, account.id)
    return Answer(members, status, members["EventSourceMappingArn"])


OPERATIONS: Final[Mapping[str, Handler]] = {
    "CreateEventSourceMapping": create_event_source_mapping,
    "GetEventSourceMapping": get_event_source_mapping,
    "ListEventSourceMappings": list_event_source_mappings,
    "UpdateEventSourceMapping": update_event_source_mapping,
    "DeleteEventSourceMapping": delete_event_source_mapping,
}
