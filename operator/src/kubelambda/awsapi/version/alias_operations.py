"""CreateAlias, GetAlias, UpdateAlias, DeleteAlias and ListAliases (§1.5.2)."""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from kubelambda.awsapi.api_error import ApiError, conflict, invalid_parameter, not_found, stale
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.function.function_configuration import LATEST
from kubelambda.awsapi.function.function_lookup import FunctionName, find, unqualified
from kubelambda.awsapi.object_writes import WRITE, delete, write_spec
from kubelambda.awsapi.refusal import refusal
from kubelambda.awsapi.version.version_lookup import aliases_of, find_alias, find_version, target_of
from kubelambda.awsapi.version.version_operations import page_of
from kubelambda.core.function.object_name import object_names
from kubelambda.kube.errors import Conflict, KubeError
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ALIASES

PAGE_MAX: Final = 50


async def create_alias(services: Services, call: Call) -> Answer:
    """A name for a published version, or for `$LATEST`."""
    name = _named(services, call)
    function = await find(services, replace(name, qualifier=None))
    if await find_alias(services, function, call.parameters["Name"]) is not None:
        raise _exists(name)
    await _check_versions(services, name, function, call.parameters)
    metadata = function["metadata"]
    owner = {"apiVersion": function["apiVersion"], "kind": "Function", "name": metadata["name"], "uid": metadata["uid"]}
    manifest = {
        "apiVersion": ALIASES.api_version,
        "kind": ALIASES.kind,
        "metadata": {
            "name": object_names(f"{metadata['name']}-{call.parameters['Name']}")[0],
            "ownerReferences": [owner],
        },
        "spec": {"functionName": metadata["name"], "name": call.parameters["Name"], **_spec({}, call.parameters)},
    }
    try:
        body = await services.client.create(ALIASES, manifest, metadata["namespace"], query=WRITE)
    except Conflict as error:
        raise _exists(name) from error
    except KubeError as error:
        raise refusal(error) from error
    return Answer(alias_configuration(body, name), resource=name.qualified_arn)


async def get_alias(services: Services, call: Call) -> Answer:
    """One alias."""
    name = _named(services, call)
    return Answer(alias_configuration(await _found(services, name), name), resource=name.qualified_arn)


async def update_alias(services: Services, call: Call) -> Answer:
    """Another version, other weights or another description; what the call does not name stays."""
    name = _named(services, call)
    function = await find(services, replace(name, qualifier=None))
    await _check_versions(services, name, function, call.parameters)

    def spec(body: Object) -> Mapping[str, Any]:
        if call.parameters.get("RevisionId") not in (None, alias_revision(body)):
            raise stale("GetFunction/GetAlias")
        return _spec(body["spec"], call.parameters)

    body = await write_spec(services, ALIASES, name.qualified_arn, lambda: _found(services, name), spec)
    return Answer(alias_configuration(body, name), resource=name.qualified_arn)


async def delete_alias(services: Services, call: Call) -> Answer:
    """The alias; one that is not there is gone already."""
    name = _named(services, call)
    function = await find(services, replace(name, qualifier=None))
    body = await find_alias(services, function, call.parameters["Name"])
    if body is not None:
        await delete(services, ALIASES, body)
    return Answer(None, resource=name.qualified_arn)


async def list_aliases(services: Services, call: Call) -> Answer:
    """All aliases of a function, or those that lead to one version."""
    name = unqualified(services, call)
    wanted = call.parameters.get("FunctionVersion")
    found = [
        alias_configuration(body, replace(name, qualifier=body["spec"]["name"]))
        for body in await aliases_of(services, await find(services, name))
        if wanted is None or target_of(body) == wanted
    ]
    return Answer(page_of(call, "Aliases", found, PAGE_MAX), resource=name.arn)


def alias_configuration(body: Object, name: FunctionName) -> dict[str, Any]:
    """AliasConfiguration."""
    spec = body["spec"]
    found = {
        "AliasArn": name.qualified_arn,
        "Name": spec["name"],
        "FunctionVersion": target_of(body),
        "Description": spec.get("description", ""),
        "RevisionId": alias_revision(body),
    }
    weights = (spec.get("routingConfig") or {}).get("additionalVersionWeights")
    return found | ({"RoutingConfig": {"AdditionalVersionWeights": weights}} if weights else {})


def alias_revision(body: Object) -> str:
    """Another one after each change of the spec."""
    metadata = body["metadata"]
    return str(uuid.uuid5(uuid.UUID(metadata["uid"]), str(metadata["generation"])))


def _named(services: Services, call: Call) -> FunctionName:
    return replace(unqualified(services, call), qualifier=call.parameters["Name"])


async def _found(services: Services, name: FunctionName) -> Object:
    function = await find(services, replace(name, qualifier=None))
    body = await find_alias(services, function, name.qualifier or "")
    if body is None:
        raise not_found(f"Cannot find alias arn: {name.qualified_arn}")
    return body


def _exists(name: FunctionName) -> ApiError:
    return conflict(f"Alias already exists: {name.qualified_arn}")


async def _check_versions(
    services: Services, name: FunctionName, function: Object, parameters: Mapping[str, Any]
) -> None:
    """Versions that an alias shall lead to must be there; what else is wrong with them, the rules of the kind say."""
    weights = (parameters.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    if len(weights) > 1:
        raise invalid_parameter("Number of items in AdditionalVersionWeights cannot be greater than 1")
    for number in (parameters.get("FunctionVersion"), *weights):
        if number not in (None, LATEST) and await find_version(services, function, number) is None:
            raise replace(name, qualifier=number).missing()


def _spec(before: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    after = dict(before)
    if "FunctionVersion" in parameters:
        after["functionVersion"] = parameters["FunctionVersion"]
        after.pop("codeSha256", None)
    if "Description" in parameters:
        after["description"] = parameters["Description"]
    if "RoutingConfig" in parameters:
        weights = parameters["RoutingConfig"].get("AdditionalVersionWeights")
        after["routingConfig"] = {"additionalVersionWeights": weights or {}}
    return after


OPERATIONS: Final[Mapping[str, Handler]] = {
    "CreateAlias": create_alias,
    "GetAlias": get_alias,
    "UpdateAlias": update_alias,
    "DeleteAlias": delete_alias,
    "ListAliases": list_aliases,
}
