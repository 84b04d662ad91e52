"""AddLayerVersionPermission, GetLayerVersionPolicy and RemoveLayerVersionPermission."""

from collections.abc import Mapping
from typing import Any, Final

from kubelambda.awsapi.api_error import not_found, stale
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.layer.layer_objects import LayerName, find_layer, find_layer_version, layer_named
from kubelambda.awsapi.object_writes import write_spec
from kubelambda.awsapi.permission.resource_policy import (
    NO_POLICY,
    compact,
    permissions_of,
    policy_document,
    policy_revision,
    statement,
    with_permission,
    without_permission,
)
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import LAYERS

_MEMBERS: Final = {
    "StatementId": "statementId",
    "Action": "action",
    "Principal": "principal",
    "OrganizationId": "principalOrgId",
}


async def add_layer_version_permission(services: Services, call: Call) -> Answer:
    """One more statement."""
    name, uid = await _named(services, call)
    added = {ours: call.parameters[theirs] for theirs, ours in _MEMBERS.items() if theirs in call.parameters}
    added["version"] = name.number

    def spec(body: Object) -> Mapping[str, Any]:
        found, mine = _permissions(body, name)
        _check_revision(call, uid, policy_document(mine, name.version_arn))
        return {**body["spec"], "permissions": with_permission(found, mine, added)}

    body = await write_spec(services, LAYERS, name.arn, lambda: _layer(services, name), spec)
    text = compact(statement(added, name.version_arn))
    revision = policy_revision(uid, policy_document(_permissions(body, name)[1], name.version_arn))
    return Answer({"Statement": text, "RevisionId": revision}, resource=name.version_arn)


async def get_layer_version_policy(services: Services, call: Call) -> Answer:
    """The policy of one version."""
    name, uid = await _named(services, call)
    _, mine = _permissions(await _layer(services, name), name)
    if not mine:
        raise not_found(NO_POLICY)
    document = policy_document(mine, name.version_arn)
    return Answer({"Policy": document, "RevisionId": policy_revision(uid, document)}, resource=name.version_arn)


async def remove_layer_version_permission(services: Services, call: Call) -> Answer:
    """One statement less."""
    name, uid = await _named(services, call)
    statement_id = call.parameters["StatementId"]

    def spec(body: Object) -> Mapping[str, Any]:
        found, mine = _permissions(body, name)
        _check_revision(call, uid, policy_document(mine, name.version_arn))
        return {**body["spec"], "permissions": without_permission(found, mine, statement_id)}

    await write_spec(services, LAYERS, name.arn, lambda: _layer(services, name), spec)
    return Answer(None, resource=name.version_arn)


async def _named(services: Services, call: Call) -> tuple[LayerName, str]:
    name = layer_named(services, call)
    body = await find_layer_version(services, name, f"Layer version {name.version_arn} does not exist.")
    return name, body["metadata"]["uid"]


async def _layer(services: Services, name: LayerName) -> Object:
    body = await find_layer(services, name)
    if body is None:
        raise not_found(f"Layer version {name.version_arn} does not exist.")
    return body


def _permissions(body: Object, name: LayerName) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Those of all versions of a layer, and those of the one that is named."""
    found = permissions_of(body["spec"])
    return found, [each for each in found if each["version"] == name.number]


def _check_revision(call: Call, uid: str, document: str) -> None:
    if call.parameters.get("RevisionId") not in (None, policy_revision(uid, document)):
        raise stale("GetLayerPolicy")


OPERATIONS: Final[Mapping[str, Handler]] = {
    "AddLayerVersionPermission": add_layer_version_permission,
    "GetLayerVersionPolicy": get_layer_version_policy,
    "RemoveLayerVersionPermission": remove_layer_version_permission,
}
