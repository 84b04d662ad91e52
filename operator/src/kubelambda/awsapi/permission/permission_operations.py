"""AddPermission, GetPolicy and RemovePermission."""

from collections.abc import Mapping
from typing import Any, Final

from kubelambda.awsapi.api_error import ApiError, invalid_parameter, not_found, stale
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.function.function_configuration import LATEST
from kubelambda.awsapi.function.function_lookup import FunctionName, name_of
from kubelambda.awsapi.function.function_writes import observed, write
from kubelambda.awsapi.permission.resource_policy import (
    NO_POLICY,
    POLICY_MAX_BYTES,
    compact,
    of_qualifier,
    permission,
    permissions_of,
    policy_document,
    policy_revision,
    statement,
    with_permission,
    without_permission,
)
from kubelambda.awsapi.version.version_lookup import Qualified, resolve, resolve_target
from kubelambda.kube.kube_client import Object


async def add_permission(services: Services, call: Call) -> Answer:
    """One more statement."""
    name = _named(services, call)
    await resolve_target(services, name)
    added = permission(call.parameters, name.qualifier)

    def spec(body: Object) -> Mapping[str, Any]:
        _check_revision(name, body, call)
        found = permissions_of(body["spec"])
        mine = of_qualifier(found, name.qualifier)
        after = with_permission(found, mine, added)
        size = len(policy_document([*mine, added], name.qualified_arn).encode())
        if size > POLICY_MAX_BYTES:
            text = f"The final policy size ({size}) is bigger than the limit ({POLICY_MAX_BYTES})."
            raise ApiError("PolicyLengthExceededException", text)
        return {**body["spec"], "permissions": after}

    await observed(services, name, await write(services, name, spec))
    text = compact(statement(added, name.qualified_arn))
    return Answer({"Statement": text}, resource=name.qualified_arn)


async def get_policy(services: Services, call: Call) -> Answer:
    """The policy of the function, or of one version or alias."""
    name = _named(services, call)
    body = (await _with_policy(services, name, "The resource you requested does not exist.")).function
    mine = of_qualifier(permissions_of(body["spec"]), name.qualifier)
    if not mine:
        raise not_found("The resource you requested does not exist.")
    document = policy_document(mine, name.qualified_arn)
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
        found = permissions_of(body["spec"])
        mine = of_qualifier(found, name.qualifier)
        if not mine:
            raise not_found(NO_POLICY)
        _check_revision(name, body, call)
        return {**body["spec"], "permissions": without_permission(found, mine, statement_id)}

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
    document = policy_document(of_qualifier(permissions_of(body["spec"]), name.qualifier), name.qualified_arn)
    if given is not None and given != policy_revision(body["metadata"]["uid"], document):
        raise stale("GetPolicy")


OPERATIONS: Final[Mapping[str, Handler]] = {
    "AddPermission": add_permission,
    "GetPolicy": get_policy,
    "RemovePermission": remove_permission,
}
