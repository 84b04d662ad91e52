"""Retries and destinations of asynchronous invocations, of whole functions (§6.5)."""

import calendar
import time
from collections.abc import Mapping
from typing import Any, Final

from kubelambda.awsapi.api_error import ApiError, invalid_parameter, not_found, not_served
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.function.function_configuration import LATEST
from kubelambda.awsapi.function.function_lookup import FunctionName, find, name_of
from kubelambda.awsapi.function.function_writes import observed, write
from kubelambda.kube.kube_client import Object

_FIELD: Final = "eventInvokeConfig"
_NUMBERS: Final = {
    "MaximumRetryAttempts": "maximumRetryAttempts",
    "MaximumEventAgeInSeconds": "maximumEventAgeInSeconds",
}
_ENDS: Final = {"OnSuccess": "onSuccess", "OnFailure": "onFailure"}


async def put_function_event_invoke_config(services: Services, call: Call) -> Answer:
    """Replaces all of it."""
    if not any(member in call.parameters for member in (*_NUMBERS, "DestinationConfig")):
        raise invalid_parameter("You must specify at least one of error handling or destination setting.")
    return await _write(services, call, replace=True)


async def update_function_event_invoke_config(services: Services, call: Call) -> Answer:
    """Changes what the call names."""
    return await _write(services, call, replace=False)


async def get_function_event_invoke_config(services: Services, call: Call) -> Answer:
    """As it is."""
    name = _named(services, call)
    body = await find(services, name)
    if body["spec"].get(_FIELD) is None:
        raise _missing(name)
    return Answer(_config(name, body), resource=name.arn)


async def delete_function_event_invoke_config(services: Services, call: Call) -> Answer:
    """Back to the defaults."""
    name = _named(services, call)

    def spec(body: Object) -> Mapping[str, Any]:
        if body["spec"].get(_FIELD) is None:
            raise _missing(name)
        return {field: value for field, value in body["spec"].items() if field != _FIELD}

    await observed(services, name, await write(services, name, spec))
    return Answer(None, resource=name.arn)


async def list_function_event_invoke_configs(services: Services, call: Call) -> Answer:
    """The one of the function, where there is one."""
    name = _named(services, call)
    body = await find(services, name)
    found = [_config(name, body)] if body["spec"].get(_FIELD) is not None else []
    return Answer({"FunctionEventInvokeConfigs": found}, resource=name.arn)


async def _write(services: Services, call: Call, *, replace: bool) -> Answer:
    name = _named(services, call)

    def spec(body: Object) -> Mapping[str, Any]:
        before = body["spec"].get(_FIELD)
        if before is None and not replace:
            raise _missing(name)
        return {**body["spec"], _FIELD: changed({} if replace else before or {}, call.parameters, name)}

    body = await observed(services, name, await write(services, name, spec))
    return Answer(_config(name, body), resource=name.arn)


def changed(before: Mapping[str, Any], parameters: Mapping[str, Any], name: FunctionName) -> dict[str, Any]:
    """The field as the parameters leave it."""
    after = dict(before)
    for theirs, ours in _NUMBERS.items():
        if theirs in parameters:
            after[ours] = parameters[theirs]
    if "DestinationConfig" in parameters:
        given = parameters["DestinationConfig"]
        ends = {ours: (given.get(theirs) or {}).get("Destination") for theirs, ours in _ENDS.items()}
        if name.arn in ends.values():
            raise invalid_parameter("You can't specify the function as a destination for itself.")
        after["destinationConfig"] = {end: {"destination": arn} for end, arn in ends.items() if arn}
    return after


def _named(services: Services, call: Call) -> FunctionName:
    name = name_of(services, call)
    if name.qualifier not in (None, LATEST):
        raise not_served(f"{call.operation} of a version or an alias")
    return FunctionName(name.account, name.region, name.name, None)


def _config(name: FunctionName, body: Object) -> dict[str, Any]:
    field = body["spec"][_FIELD]
    destinations = field.get("destinationConfig") or {}
    modified = (body.get("status") or {}).get("lastModified") or body["metadata"]["creationTimestamp"]
    found: dict[str, Any] = {
        "LastModified": float(calendar.timegm(time.strptime(modified[:19], "%Y-%m-%dT%H:%M:%S"))),
        "FunctionArn": f"{name.arn}:{LATEST}",
        "DestinationConfig": {
            theirs: {"Destination": destinations[ours]["destination"]} if destinations.get(ours) else {}
            for theirs, ours in _ENDS.items()
        },
    }
    return found | {theirs: field[ours] for theirs, ours in _NUMBERS.items() if ours in field}


def _missing(name: FunctionName) -> ApiError:
    return not_found(f"The function {name.arn}:{LATEST} doesn't have an EventInvokeConfig")


OPERATIONS: Final[Mapping[str, Handler]] = {
    "PutFunctionEventInvokeConfig": put_function_event_invoke_config,
    "UpdateFunctionEventInvokeConfig": update_function_event_invoke_config,
    "GetFunctionEventInvokeConfig": get_function_event_invoke_config,
    "DeleteFunctionEventInvokeConfig": delete_function_event_invoke_config,
    "ListFunctionEventInvokeConfigs": list_function_event_invoke_configs,
}
