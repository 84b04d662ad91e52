"""Retries and destinations of asynchronous invocations, of functions, versions and aliases each by itself (§6.5)."""

import calendar
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from kubelambda.awsapi.api_error import ApiError, invalid_parameter, not_found
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.event.event_destinations import ENDS, check_destinations, destinations_of
from kubelambda.awsapi.function.function_configuration import LATEST
from kubelambda.awsapi.function.function_lookup import FunctionName, find_object, name_of
from kubelambda.awsapi.function.function_writes import observed
from kubelambda.awsapi.object_writes import Change, last_written, write_spec
from kubelambda.awsapi.version.version_lookup import aliases_of, resolve, versions_of
from kubelambda.awsapi.version.version_operations import page_of
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ALIASES, FUNCTION_VERSIONS, FUNCTIONS, Resource

PAGE_MAX: Final = 50
_FIELD: Final = "eventInvokeConfig"
_NUMBERS: Final = {
    "MaximumRetryAttempts": "maximumRetryAttempts",
    "MaximumEventAgeInSeconds": "maximumEventAgeInSeconds",
}


@dataclass(frozen=True, slots=True)
class _Holder:
    """The object that has the configuration of a qualifier."""

    resource: Resource
    body: Object


async def put_function_event_invoke_config(services: Services, call: Call) -> Answer:
    """Replaces all of it."""
    name = _named(services, call)
    await _existing(services, name)
    if not any(member in call.parameters for member in (*_NUMBERS, "DestinationConfig")):
        raise invalid_parameter("You must specify at least one of error handling or destination setting.")
    await check_destinations(services, name, call.parameters.get("DestinationConfig") or {})
    return await _written(services, name, lambda body: _with(body, changed({}, call.parameters)))


async def update_function_event_invoke_config(services: Services, call: Call) -> Answer:
    """Changes what the call names."""
    name = _named(services, call)
    await _existing(services, name)
    await check_destinations(services, name, call.parameters.get("DestinationConfig") or {})

    def spec(body: Object) -> Mapping[str, Any]:
        before = body["spec"].get(_FIELD)
        if before is None:
            raise _missing(name)
        return _with(body, changed(before, call.parameters))

    return await _written(services, name, spec)


async def get_function_event_invoke_config(services: Services, call: Call) -> Answer:
    """As it is."""
    name = _named(services, call)
    body = (await _configured(services, name)).body
    return Answer(_config(name, body), resource=name.qualified_arn)


async def delete_function_event_invoke_config(services: Services, call: Call) -> Answer:
    """Back to the defaults."""
    name = _named(services, call)
    await _configured(services, name)
    await _written(
        services, name, lambda body: {field: value for field, value in body["spec"].items() if field != _FIELD}
    )
    return Answer(None, resource=name.qualified_arn)


async def list_function_event_invoke_configs(services: Services, call: Call) -> Answer:
    """Those of the function, of its versions, and of its aliases."""
    name = name_of(services, call)
    function = await find_object(services, name)
    if function is None:
        raise _no_function()
    found = [(LATEST, function)]
    found += [(body["status"]["version"], body) for body in await versions_of(services, function)]
    found += [(body["spec"]["name"], body) for body in await aliases_of(services, function)]
    configs = [
        _config(replace(name, qualifier=qualifier), body)
        for qualifier, body in found
        if body["spec"].get(_FIELD) is not None
    ]
    return Answer(page_of(call, "FunctionEventInvokeConfigs", configs, PAGE_MAX), resource=name.arn)


async def _written(services: Services, name: FunctionName, change: Change) -> Answer:
    resource = (await _existing(services, name)).resource

    async def read() -> Object:
        return (await _existing(services, name)).body

    body = await write_spec(services, resource, name.qualified_arn, read, change)
    if resource == FUNCTIONS:
        body = await observed(services, name, body)
    return Answer(_config(name, body) if body["spec"].get(_FIELD) else None, resource=name.qualified_arn)


def _with(body: Object, config: Mapping[str, Any]) -> dict[str, Any]:
    return {**body["spec"], _FIELD: config}


def changed(before: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The field as the parameters leave it."""
    after = dict(before)
    for theirs, ours in _NUMBERS.items():
        if theirs in parameters:
            after[ours] = parameters[theirs]
    if "DestinationConfig" in parameters:
        ends = destinations_of(parameters["DestinationConfig"])
        after["destinationConfig"] = {end: {"destination": arn} for end, arn in ends.items() if arn}
    return after


def _named(services: Services, call: Call) -> FunctionName:
    name = name_of(services, call)
    return replace(name, qualifier=name.qualifier or LATEST)


async def _existing(services: Services, name: FunctionName) -> _Holder:
    """What the name means. Raises `ApiError` with the words of what writes."""
    try:
        found = await resolve(services, name)
    except ApiError as error:
        raise _no_function() if error.type == "ResourceNotFoundException" else error from error
    if found.alias is not None:
        return _Holder(ALIASES, found.alias)
    if found.version is not None:
        return _Holder(FUNCTION_VERSIONS, found.version)
    return _Holder(FUNCTIONS, found.function)


async def _configured(services: Services, name: FunctionName) -> _Holder:
    """What the name means, with a configuration: whatever is missing, Lambda says that this is."""
    try:
        found = await _existing(services, name)
    except ApiError as error:
        raise _missing(name) from error
    if found.body["spec"].get(_FIELD) is None:
        raise _missing(name)
    return found


def _config(name: FunctionName, body: Object) -> dict[str, Any]:
    field = body["spec"][_FIELD]
    destinations = field.get("destinationConfig") or {}
    found: dict[str, Any] = {
        "LastModified": _last_modified(body),
        "FunctionArn": name.qualified_arn,
        "DestinationConfig": {
            theirs: {"Destination": destinations[ours]["destination"]} if destinations.get(ours) else {}
            for theirs, ours in ENDS.items()
        },
    }
    return found | {theirs: field[ours] for theirs, ours in _NUMBERS.items() if ours in field}


def _last_modified(body: Object) -> float:
    return float(calendar.timegm(time.strptime(last_written(body), "%Y-%m-%dT%H:%M:%SZ")))


def _missing(name: FunctionName) -> ApiError:
    return not_found(f"The function {name.qualified_arn} doesn't have an EventInvokeConfig")


def _no_function() -> ApiError:
    return not_found("The function doesn't exist.")


OPERATIONS: Final[Mapping[str, Handler]] = {
    "PutFunctionEventInvokeConfig": put_function_event_invoke_config,
    "UpdateFunctionEventInvokeConfig": update_function_event_invoke_config,
    "GetFunctionEventInvokeConfig": get_function_event_invoke_config,
    "DeleteFunctionEventInvokeConfig": delete_function_event_invoke_config,
    "ListFunctionEventInvokeConfigs": list_function_event_invoke_configs,
}
