"""AddPermission, GetPolicy and RemovePermission."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kubelambda.awsapi.api_error import ApiError, conflict, invalid_parameter, not_found, stale
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.function.function_configuration import LATEST
from kubelambda.awsapi.function.function_lookup import FunctionName, name_of
from kubelambda.awsapi.function.function_writes import observed, write
from kubelambda.awsapi.permission.resource_policy import (
    POLICY_MAX_BYTES,
    of_qualifier,
    permission,
    policy,
    policy_revision,
    statement,
)
from kubelambda.awsapi.version.version_lookup import Qualified, resolve, resolve_target
from kubelambda.kube.kube_client import Object

_NO_POLICY: Final = "No policy is associated with the given resource."


async def add_permission(services: Services, call: Call) -> Answer:
    """One more statement."""
    name = _named(services, call)
    await resolve_target(services, name)
    added = permission(call.parameters, name.qualifier)

    def spec(body: Object) -> Mapping[str, Any]:
        _check_revision(name, body, call)
        found = _permissions(body)
        mine = of_qualifier(found, name.qualifier)
        if any(each["statementId"] == added["statementId"] for each in mine):
            raise conflict(
                f"The statement id ({added['statementId']}) provided already exists. Please provide a new statement "
                "id, or remove the existing statement."
            )
        size = len(_document([*mine, added], name).encode())
        if size > POLICY_MAX_BYTES:
            text = f"The final policy size ({size}) is bigger than the limit ({POLICY_MAX_BYTES})."
            raise ApiError("PolicyLengthExceededException", text)
        return {**body["spec"], "permissions": [*found, added]}

    await observed(services, name, await write(services, name, spec))
    text = _compact(statement(added, name.qualified_arn))
    return Answer({"Statement": text}, resource=name.qualified_arn)


async def get_policy(services: Services, call: Call) -> Answer:
    """The policy of the function, or of one version or alias."""
    name = _named(services, call)
    body = (await _with_policy(services, name, "The resource you requested does not exist.")).function
    mine = of_qualifier(_permissions(body), name.qualifier)
    if not mine:
        raise not_found("The resource you requested does not exist.")
    document = _document(mine, name)
    revision = policy_revision(body["metadata"]["uid"], document)
    return Answer({"Policy": document, "RevisionId": revision}, resource=name.qualified_arn)


async def remove_permission(services: Services, call: Call) -> Answer:
    """One statement less."""
    name = _named(services, call)
    if name.qualifier is None:
        await _with_policy(services, name, f"No policy found for: {name.arn}")
    else:
        await resolve_target(services, name)
    statement_id = call.parameters["StatementId"]

    def spec(body: Object) -> Mapping[str, Any]:
        found = _permissions(body)
        mine = of_qualifier(found, name.qualifier)
        if not mine:
            raise not_found(_NO_POLICY)
        _check_revision(name, body, call)
        kept = [each for each in found if each not in mine or each["statementId"] != statement_id]
        if len(kept) == len(found):
            raise not_found(f"Statement {statement_id} is not found in resource policy.")
        return {**body["spec"], "permissions": kept}

    await observed(services, name, await write(services, name, spec))
    return Answer(None, resource=name.qualified_arn)


async def _with_policy(services: Services, name: FunctionName, missing: str) -> Qualified:
    """What the policy is of; of what is not there Lambda says that it has none."""
    try:
        return await resolve(services, name)
    except ApiError as error:
        if error.type != "ResourceNotFoundException":
            raise
        raise not_found(missing) from error


def _named(services: Services, call: Call) -> FunctionName:
    name = name_of(services, call)
    if name.qualifier == LATEST:
        raise invalid_parameter("We currently do not support adding policies for $LATEST.")
    return name


def _check_revision(name: FunctionName, body: Object, call: Call) -> None:
    given = call.parameters.get("RevisionId")
    mine = of_qualifier(_permissions(body), name.qualifier)
    if given is not None and given != policy_revision(body["metadata"]["uid"], _document(mine, name)):
        raise stale("GetPolicy")


def _permissions(body: Object) -> list[dict[str, Any]]:
    return list(body["spec"].get("permissions") or [])


def _document(permissions: Sequence[Mapping[str, Any]], name: FunctionName) -> str:
    return _compact(policy(permissions, name.qualified_arn))


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


OPERATIONS: Final[Mapping[str, Handler]] = {
    "AddPermission": add_permission,
    "GetPolicy": get_policy,
    "RemovePermission": remove_permission,
}
