"""From a qualifier to a version or an alias of a function (§1.2.2, §1.5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubelambda.awsapi.api_error import ApiError, not_found
from kubelambda.awsapi.call import Services
from kubelambda.awsapi.function.function_configuration import LATEST, configuration
from kubelambda.awsapi.function.function_lookup import FunctionName, find_object
from kubelambda.core.account import identity
from kubelambda.core.function.object_name import function_name_of
from kubelambda.core.invoke.routing import alias_rank
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ALIASES, FUNCTION_VERSIONS, Resource

_PAGE = 250


@dataclass(frozen=True, slots=True)
class Qualified:
    """A function, and the version that a qualifier means; None: `$LATEST`."""

    function: Object
    version: Object | None
    alias: Object | None


async def versions_of(services: Services, function: Object) -> list[Object]:
    """Published versions of a function, the lowest number first."""
    found = [body for body in await _owned(services, FUNCTION_VERSIONS, function) if _number(body) and _is_whole(body)]
    return sorted(found, key=_number)


async def aliases_of(services: Services, function: Object) -> list[Object]:
    """Aliases of a function by name."""
    return sorted(await _owned(services, ALIASES, function), key=lambda body: str(body["spec"]["name"]))


async def find_alias(services: Services, function: Object, alias: str) -> Object | None:
    """An alias; of two objects that claim to be it, the one that is."""
    found = [body for body in await _owned(services, ALIASES, function) if body["spec"]["name"] == alias]
    return min(found, key=_rank, default=None)


def _rank(alias: Object) -> tuple[str, bool]:
    routed = "routedVersion" in (alias.get("status") or {})
    return alias_rank(str(alias["metadata"]["creationTimestamp"]), routed=routed)


async def find_version(services: Services, function: Object, number: str) -> Object | None:
    """A published version."""
    found = await versions_of(services, function)
    return next((body for body in found if body["status"]["version"] == number), None)


async def resolve_target(services: Services, name: FunctionName) -> Qualified:
    """As `resolve`, with the words of operations that are about an alias rather than about what it leads to."""
    try:
        return await resolve(services, name)
    except ApiError as error:
        qualifier = name.qualifier or LATEST
        if error.type != "ResourceNotFoundException" or qualifier.isdecimal() or "$" in qualifier:
            raise
        raise not_found(f"Cannot find alias arn: {name.qualified_arn}") from error


async def resolve(services: Services, name: FunctionName) -> Qualified:
    """What a name with its qualifier means. Raises `ApiError` when there is no such function, version or alias."""
    function = await find_object(services, name)
    if function is None:
        raise name.missing()
    if name.qualifier is None or name.qualifier == LATEST:
        return Qualified(function, None, None)
    if name.qualifier.isdecimal():
        version = await find_version(services, function, name.qualifier)
        if version is None:
            raise name.missing()
        return Qualified(function, version, None)
    alias = await find_alias(services, function, name.qualifier)
    if alias is None:
        raise name.missing()
    number = target_of(alias)
    version = await find_version(services, function, number) if number != LATEST else None
    if version is None and number != LATEST:
        raise name.missing()
    return Qualified(function, version, alias)


def target_of(alias: Object) -> str:
    """The version that an alias names."""
    named: str | None = alias["spec"].get("functionVersion")
    return named or str((alias.get("status") or {}).get("functionVersion") or "")


def version_configuration(
    version: Object, function: Object, region: str, account: str, qualifier: str | None = None
) -> dict[str, Any]:
    """FunctionConfiguration of a published version: its own snapshot, and what only the function has."""
    number = version["status"]["version"]
    snapshot = {**function, "spec": _snapshot_spec(version, function), "status": _snapshot_status(version, function)}
    found = configuration(snapshot, region, account)
    arn = identity.function_arn(region, account, function_name_of(function), qualifier or number)
    return found | {"FunctionArn": arn, "Version": number, "RevisionId": _revision(version)}


def _snapshot_spec(version: Object, function: Object) -> dict[str, Any]:
    deployed: Mapping[str, Any] = version["status"]["deployed"]
    spec = {name: value for name, value in function["spec"].items() if name not in ("code", "description")}
    taken = {name: deployed[name] for name in ("runtime", "handler", "memorySize", "timeout") if name in deployed}
    description = version["spec"].get("description") or function["spec"].get("description", "")
    return {
        **spec,
        **taken,
        "description": description,
        "environment": deployed.get("environment") or {},
        "layers": [layer["arn"] for layer in deployed.get("layers") or ()],
        "fileSystemConfigs": [
            {"arn": each["accessPoint"], "localMountPath": each["mountPath"]}
            for each in deployed.get("fileSystems") or ()
        ],
        "deadLetterConfig": {"targetArn": deployed["deadLetterTarget"]} if deployed.get("deadLetterTarget") else None,
        "ephemeralStorage": {"size": deployed.get("ephemeralStorage", 512)},
        "loggingConfig": {**(spec.get("loggingConfig") or {}), "logGroup": deployed["logGroup"]},
    }


def _snapshot_status(version: Object, function: Object) -> dict[str, Any]:
    """Settled, whatever changes about the function meanwhile."""
    status = version["status"]
    return {
        **{name: value for name, value in status.items() if name != "observedGeneration"},
        "observedGeneration": function["metadata"]["generation"],
        "state": status.get("state", "Active"),
        "lastUpdateStatus": "Successful",
    }


def _revision(version: Object) -> str:
    uid: str = version["metadata"]["uid"]
    return uid


async def _owned(services: Services, resource: Resource, function: Object) -> list[Object]:
    """Objects that name the function; those of a namesake that is gone belong to nobody any more."""
    metadata = function["metadata"]
    selector = f"spec.functionName={metadata['name']}"
    known = services.client.each(resource, metadata["namespace"], first=_PAGE, field_selector=selector)
    return [body async for body in known if _belongs(body, metadata["uid"])]


def _belongs(body: Object, uid: str) -> bool:
    owners = [owner["uid"] for owner in body["metadata"].get("ownerReferences") or []]
    return "deletionTimestamp" not in body["metadata"] and (not owners or uid in owners)


def _number(body: Object) -> int:
    return int((body.get("status") or {}).get("version") or 0)


def _is_whole(body: Object) -> bool:
    """Whether it is a version of its own, and does not only repeat one to which nothing had changed."""
    return (body.get("status") or {}).get("deployed") is not None
