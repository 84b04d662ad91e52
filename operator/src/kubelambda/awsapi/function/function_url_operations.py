"""Function URLs: of functions and aliases, each with its own (§2.5)."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from kubelambda.api import labels
from kubelambda.awsapi.api_error import ApiError, conflict, not_found
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.function.function_lookup import FunctionName, find_object, name_of
from kubelambda.awsapi.function.function_writes import observed
from kubelambda.awsapi.function.spec_changes import renamed
from kubelambda.awsapi.object_writes import Change, last_written, write_spec
from kubelambda.awsapi.version.version_lookup import aliases_of, find_alias
from kubelambda.awsapi.version.version_operations import page_of
from kubelambda.core.invoke.url_address import UrlDomain
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ALIASES, FUNCTIONS, Resource

PAGE_MAX: Final = 50
_FIELD: Final = "url"


@dataclass(frozen=True, slots=True)
class _Addressed:
    """The object that has the URL of a name, or could have one."""

    resource: Resource
    body: Object

    @property
    def config(self) -> Mapping[str, Any] | None:
        """What its spec says of the URL."""
        found: Mapping[str, Any] | None = self.body["spec"].get(_FIELD)
        return found


async def create_function_url_config(services: Services, call: Call) -> Answer:
    """An address for the function, or for an alias."""
    name = name_of(services, call)

    def spec(body: Object) -> Mapping[str, Any]:
        if body["spec"].get(_FIELD) is not None:
            raise conflict(
                f"Failed to create function url config for [functionArn = {name.qualified_arn}]. Error message:  "
                "FunctionUrlConfig exists for this Lambda function"
            )
        return {**body["spec"], _FIELD: changed({}, call.parameters)}

    body = await _written(services, name, _absent(), spec, created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    members = configuration(services, name, body)
    del members["LastModifiedTime"]
    return Answer(members, resource=name.qualified_arn)


async def get_function_url_config(services: Services, call: Call) -> Answer:
    """As it is."""
    name = name_of(services, call)
    return Answer(configuration(services, name, (await _configured(services, name)).body), resource=name.qualified_arn)


async def update_function_url_config(services: Services, call: Call) -> Answer:
    """Changes what the call names; cross-origin rules as a whole."""
    name = name_of(services, call)

    def spec(body: Object) -> Mapping[str, Any]:
        before = body["spec"].get(_FIELD)
        if before is None:
            raise _missing()
        return {**body["spec"], _FIELD: changed(before, call.parameters)}

    body = await _written(services, name, _missing(), spec)
    return Answer(configuration(services, name, body), resource=name.qualified_arn)


async def delete_function_url_config(services: Services, call: Call) -> Answer:
    """No address any more."""
    name = name_of(services, call)
    await _configured(services, name)

    def spec(body: Object) -> Mapping[str, Any]:
        return {field: value for field, value in body["spec"].items() if field != _FIELD}

    await _written(services, name, _missing(), spec, created=None)
    return Answer(None, resource=name.qualified_arn)


async def list_function_url_configs(services: Services, call: Call) -> Answer:
    """Those of the function and of its aliases."""
    name = replace(name_of(services, call), qualifier=None)
    function = await find_object(services, name)
    if function is None:
        raise _absent()
    found = [(name, function)]
    found += [(replace(name, qualifier=body["spec"]["name"]), body) for body in await aliases_of(services, function)]
    configs = [configuration(services, each, body) for each, body in found if body["spec"].get(_FIELD) is not None]
    return Answer(page_of(call, "FunctionUrlConfigs", configs, PAGE_MAX), resource=name.arn)


def changed(before: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The field as the parameters leave it."""
    after = dict(before)
    for theirs, ours in (("AuthType", "authType"), ("InvokeMode", "invokeMode")):
        if theirs in parameters:
            after[ours] = parameters[theirs]
    if "Cors" in parameters:
        after["cors"] = renamed(parameters["Cors"])
    return {name: value for name, value in after.items() if value != {}}


def configuration(services: Services, name: FunctionName, body: Object) -> dict[str, Any]:
    """FunctionUrlConfig."""
    field, metadata = body["spec"][_FIELD], body["metadata"]
    settings = services.settings
    domain = UrlDomain(name.region, settings.url_domain, settings.url_scheme)
    annotations = metadata.get("annotations") or {}
    found = {
        "FunctionUrl": domain.address(metadata["uid"]),
        "FunctionArn": name.qualified_arn,
        "AuthType": field["authType"],
        "CreationTime": annotations.get(labels.FUNCTION_URL_CREATED) or metadata["creationTimestamp"],
        "LastModifiedTime": last_written(body),
        "InvokeMode": field.get("invokeMode", "BUFFERED"),
    }
    given = {name: value for name, value in (field.get("cors") or {}).items() if value != []}
    shown = {f"{name[:1].upper()}{name[1:]}": value for name, value in given.items()}
    return found | ({"Cors": shown} if shown else {})


async def _written(
    services: Services, name: FunctionName, missing: ApiError, change: Change, **annotated: str | None
) -> Object:
    """`created`: the time to write down with it; None: to forget."""
    resource = (await _addressed(services, name, missing)).resource

    async def read() -> Object:
        return (await _addressed(services, name, missing)).body

    def annotate(_: Object) -> Mapping[str, str | None]:
        return {labels.FUNCTION_URL_CREATED: annotated["created"]} if "created" in annotated else {}

    body = await write_spec(services, resource, name.qualified_arn, read, change, annotate=annotate)
    return await observed(services, name, body) if resource == FUNCTIONS else body


async def _addressed(services: Services, name: FunctionName, missing: ApiError) -> _Addressed:
    """What a name means. Raises `missing`."""
    function = await find_object(services, name)
    if function is None:
        raise missing
    if name.qualifier is None:
        return _Addressed(FUNCTIONS, function)
    alias = await find_alias(services, function, name.qualifier)
    if alias is None:
        raise missing
    return _Addressed(ALIASES, alias)


async def _configured(services: Services, name: FunctionName) -> _Addressed:
    found = await _addressed(services, name, _missing())
    if found.config is None:
        raise _missing()
    return found


def _missing() -> ApiError:
    return not_found("The resource you requested does not exist.")


def _absent() -> ApiError:
    return not_found("Function does not exist")


OPERATIONS: Final[Mapping[str, Handler]] = {
    "CreateFunctionUrlConfig": create_function_url_config,
    "GetFunctionUrlConfig": get_function_url_config,
    "UpdateFunctionUrlConfig": update_function_url_config,
    "DeleteFunctionUrlConfig": delete_function_url_config,
    "ListFunctionUrlConfigs": list_function_url_configs,
}
