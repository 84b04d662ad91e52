"""Provisioned concurrency of aliases and versions (§5.3 to §5.5)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from kubelambda.awsapi.account.account_limits import account_limits
from kubelambda.awsapi.api_error import ApiError, conflict, invalid_parameter
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.function.function_configuration import LATEST, lambda_time
from kubelambda.awsapi.function.function_lookup import FunctionName, find, name_of
from kubelambda.awsapi.object_writes import write_spec
from kubelambda.awsapi.version.version_lookup import Qualified, aliases_of, resolve_target, target_of, versions_of
from kubelambda.awsapi.version.version_operations import page_of
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ALIASES, FUNCTION_VERSIONS, Resource

PAGE_MAX: Final = 50
_FIELD: Final = "provisionedConcurrency"
_COUNT: Final = "provisionedConcurrentExecutions"
_UNPUBLISHED: Final = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."


@dataclass(frozen=True, slots=True)
class _Target:
    """The alias or the version that environments are kept for."""

    resource: Resource
    body: Object


async def put_provisioned_concurrency_config(services: Services, call: Call) -> Answer:
    """Asks for environments; those of an alias and those of the version behind it exclude each other."""
    name, found = await _resolved(services, call)
    if name.qualifier == LATEST:
        raise invalid_parameter(_UNPUBLISHED)
    target = _target(found)
    wanted: int = call.parameters["ProvisionedConcurrentExecutions"]
    versions, aliases = await versions_of(services, found.function), await aliases_of(services, found.function)
    _check_exclusive(found, versions, aliases)
    _check_reservation(found.function, target.body, wanted, [*versions, *aliases])
    await _check_account(services, name, found.function, wanted - _requested(target.body))

    async def read() -> Object:
        return _target(await resolve_target(services, name)).body

    def spec(body: Object) -> Mapping[str, Any]:
        return {**body["spec"], _FIELD: {**(body["spec"].get(_FIELD) or {}), _COUNT: wanted}}

    body = await write_spec(services, target.resource, name.qualified_arn, read, spec)
    return Answer(_config(body), resource=name.qualified_arn)


async def get_provisioned_concurrency_config(services: Services, call: Call) -> Answer:
    """How many are asked for, allocated and available."""
    name, found = await _resolved(services, call)
    body = _target(found).body
    if not _requested(body):
        raise _missing()
    return Answer(_config(body), resource=name.qualified_arn)


async def delete_provisioned_concurrency_config(services: Services, call: Call) -> Answer:
    """No environments are kept any more."""
    name, found = await _resolved(services, call)

    async def read() -> Object:
        return _target(await resolve_target(services, name)).body

    def spec(body: Object) -> Mapping[str, Any]:
        return {field: value for field, value in body["spec"].items() if field != _FIELD}

    await write_spec(services, _target(found).resource, name.qualified_arn, read, spec)
    return Answer(None, resource=name.qualified_arn)


async def list_provisioned_concurrency_configs(services: Services, call: Call) -> Answer:
    """Of all aliases and versions of a function."""
    name = name_of(services, call)
    function = await find(services, name)
    found = [(body["spec"]["name"], body) for body in await aliases_of(services, function)]
    found += [(body["status"]["version"], body) for body in await versions_of(services, function)]
    configs = [
        {"FunctionArn": replace(name, qualifier=qualifier).qualified_arn, **_config(body)}
        for qualifier, body in found
        if _requested(body)
    ]
    return Answer(page_of(call, "ProvisionedConcurrencyConfigs", configs, PAGE_MAX), resource=name.arn)


def requested_total(bodies: list[Object]) -> int:
    """Environments that all of some aliases and versions ask for."""
    return sum(_requested(body) for body in bodies)


async def _resolved(services: Services, call: Call) -> tuple[FunctionName, Qualified]:
    name = name_of(services, call)
    return name, await resolve_target(services, name)


def _target(found: Qualified) -> _Target:
    if found.alias is not None:
        return _Target(ALIASES, found.alias)
    if found.version is None:
        raise invalid_parameter("The function resource provided must be an alias or a published version.")
    return _Target(FUNCTION_VERSIONS, found.version)


def _check_exclusive(found: Qualified, versions: list[Object], aliases: list[Object]) -> None:
    if found.alias is not None:
        number = target_of(found.alias)
        if any(_requested(version) and version["status"]["version"] == number for version in versions):
            raise conflict(
                "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
            )
    elif found.version is not None:
        number = found.version["status"]["version"]
        if any(_requested(alias) and target_of(alias) == number for alias in aliases):
            raise conflict("Version is pointed by a Provisioned Concurrency alias")


def _check_reservation(function: Object, target: Object, wanted: int, bodies: list[Object]) -> None:
    reserved = function["spec"].get("reservedConcurrentExecutions")
    others = requested_total([body for body in bodies if body["metadata"]["uid"] != target["metadata"]["uid"]])
    if reserved is not None and others + wanted > reserved:
        text = (
            "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function"
        )
        raise invalid_parameter(text)


async def _check_account(services: Services, name: FunctionName, function: Object, more: int) -> None:
    """Without a reservation of the function's own, environments come out of what the account has left (§5.4)."""
    if function["spec"].get("reservedConcurrentExecutions") is not None or more <= 0:
        return
    unreserved = (await account_limits(services, name.account)).unreserved
    minimum = services.settings.unreserved_minimum
    text = "Specified ConcurrentExecutions for function"
    if more > unreserved:
        raise invalid_parameter(f"{text} is greater than account's unreserved concurrency [{unreserved}].")
    if unreserved - more < minimum:
        raise invalid_parameter(
            f"{text} decreases account's UnreservedConcurrentExecution below its minimum value of [{minimum}]."
        )


def _requested(body: Object) -> int:
    """What is asked for now: by the spec, or by the scaler."""
    wanted = body["spec"].get(_FIELD)
    if wanted is None:
        return 0
    status = (body.get("status") or {}).get(_FIELD) or {}
    scaled = bool(wanted.get("targetTracking") or wanted.get("scheduledActions"))
    return int(status.get("requested", 0) if scaled else wanted.get(_COUNT) or 0)


def _config(body: Object) -> dict[str, Any]:
    status = (body.get("status") or {}).get(_FIELD) or {}
    requested = _requested(body)
    current = status.get("requested") == requested
    found: dict[str, Any] = {
        "RequestedProvisionedConcurrentExecutions": requested,
        "AvailableProvisionedConcurrentExecutions": status.get("available", 0) if current else 0,
        "AllocatedProvisionedConcurrentExecutions": status.get("allocated", 0) if current else 0,
        "Status": status.get("status", "IN_PROGRESS") if current else "IN_PROGRESS",
        "LastModified": status.get("lastModified") or lambda_time(body["metadata"]["creationTimestamp"]),
    }
    if current and status.get("statusReason"):
        found["StatusReason"] = status["statusReason"]
    return found


def _missing() -> ApiError:
    text = "No Provisioned Concurrency Config found for this function"
    return ApiError("ProvisionedConcurrencyConfigNotFoundException", text)


OPERATIONS: Final[Mapping[str, Handler]] = {
    "PutProvisionedConcurrencyConfig": put_provisioned_concurrency_config,
    "GetProvisionedConcurrencyConfig": get_provisioned_concurrency_config,
    "DeleteProvisionedConcurrencyConfig": delete_provisioned_concurrency_config,
    "ListProvisionedConcurrencyConfigs": list_provisioned_concurrency_configs,
}
