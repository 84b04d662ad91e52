"""AddLayerVersionPermission, GetLayerVersionPolicy and RemoveLayerVersionPermission."""

import json
from collections.abc import Mapping
from typing import Any, Final

from kubelambda.awsapi.api_error import conflict, not_found, stale
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.layer.layer_objects import LayerName, find_layer, find_layer_version, layer_named
from kubelambda.awsapi.object_writes import write_spec
from kubelambda.awsapi.permission.resource_policy import policy, policy_revision, statement
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import LAYERS

_NO_POLICY: Final = "No policy is associated with the given resource."
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
        found = _permissions(body)
        mine = _of_version(found, name)
        _check_revision(call, uid, _document(mine, name))
        if any(each["statementId"] == added["statementId"] for each in mine):
            raise conflict(
                f"The statement id ({added['statementId']}) provided already exists. Please provide a new statement "
                "id, or remove the existing statement."
            )
        return {**body["spec"], "permissions": [*found, added]}

    body = await write_spec(services, LAYERS, name.arn, lambda: _layer(services, name), spec)
    text = _compact(statement(added, name.version_arn))
    revision = policy_revision(uid, _document(_of_version(_permissions(body), name), name))
    return Answer({"Statement": text, "RevisionId": revision}, resource=name.version_arn)


async def get_layer_version_policy(services: Services, call: Call) -> Answer:
    """The policy of one version."""
    name, uid = await _named(services, call)
    mine = _of_version(_permissions(await _layer(services, name)), name)
    if not mine:
        raise not_found(_NO_POLICY)
    document = _document(mine, name)
    return Answer({"Policy": document, "RevisionId": policy_revision(uid, document)}, resource=name.version_arn)


async def remove_layer_version_permission(services: Services, call: Call) -> Answer:
    """One statement less."""
    name, uid = await _named(services, call)
    statement_id = call.parameters["StatementId"]

    def spec(body: Object) -> Mapping[str, Any]:
        found = _permissions(body)
        mine = _of_version(found, name)
        _check_revision(call, uid, _document(mine, name))
        kept = [each for each in found if each not in mine or each["statementId"] != statement_id]
        if len(kept) == len(found):
            raise not_found(f"Statement {statement_id} is not found in resource policy.")
        return {**body["spec"], "permissions": kept}

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


def _permissions(body: Object) -> list[dict[str, Any]]:
    return list(body["spec"].get("permissions") or [])


def _of_version(permissions: list[dict[str, Any]], name: LayerName) -> list[dict[str, Any]]:
    return [each for each in permissions if each["version"] == name.number]


def _check_revision(call: Call, uid: str, document: str) -> None:
    if call.parameters.get("RevisionId") not in (None, policy_revision(uid, document)):
        raise stale("GetLayerPolicy")


def _document(permissions: list[dict[str, Any]], name: LayerName) -> str:
    return _compact(policy(permissions, name.version_arn))


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


OPERATIONS: Final[Mapping[str, Handler]] = {
    "AddLayerVersionPermission": add_layer_version_permission,
    "GetLayerVersionPolicy": get_layer_version_policy,
    "RemoveLayerVersionPermission": remove_layer_version_permission,
}
