"""Resource policies of functions and layers: from parameters to statements as IAM writes them. Pure (§1.3)."""

import hashlib
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kubelambda.awsapi.api_error import conflict, invalid_parameter, not_found

POLICY_MAX_BYTES: Final = 20_480
NO_POLICY: Final = "No policy is associated with the given resource."
_ACCOUNT = re.compile(r"\d{12}")
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.(amazonaws\.com|amazon\.com|aws\.internal)")
_ROLE = re.compile(r"arn:aws[a-z-]*:(iam|sts)::\d{12}:.+")
_FIELDS: Final = {
    "StatementId": "statementId",
    "Action": "action",
    "Principal": "principal",
    "SourceArn": "sourceArn",
    "SourceAccount": "sourceAccount",
    "EventSourceToken": "eventSourceToken",
    "FunctionUrlAuthType": "functionUrlAuthType",
    "PrincipalOrgID": "principalOrgId",
    "InvokedViaFunctionUrl": "invokedViaFunctionUrl",
}


def permission(parameters: Mapping[str, Any], qualifier: str | None) -> dict[str, Any]:
    """`spec.permissions[]` of an AddPermission call. Raises `ApiError` for a principal that can be none."""
    _principal(parameters["Principal"])
    found = {ours: parameters[theirs] for theirs, ours in _FIELDS.items() if theirs in parameters}
    return found | ({"qualifier": qualifier} if qualifier else {})


def of_qualifier(permissions: Sequence[Mapping[str, Any]], qualifier: str | None) -> list[Mapping[str, Any]]:
    """The permissions of one version or alias, or of the function without any."""
    return [each for each in permissions if each.get("qualifier") == qualifier]


def permissions_of(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The permissions that a spec has, of all that it can be called by."""
    return list(spec.get("permissions") or [])


def with_permission(
    all_of_them: Sequence[Mapping[str, Any]], mine: Sequence[Mapping[str, Any]], added: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """All permissions and one more of the resource that has `mine`. Raises `ApiError` where it has one of that name."""
    if any(each["statementId"] == added["statementId"] for each in mine):
        raise conflict(
            f"The statement id ({added['statementId']}) provided already exists. Please provide a new statement "
            "id, or remove the existing statement."
        )
    return [*all_of_them, added]


def without_permission(
    all_of_them: Sequence[Mapping[str, Any]], mine: Sequence[Mapping[str, Any]], statement_id: str
) -> list[Mapping[str, Any]]:
    """All permissions but one of the resource that has `mine`. Raises `ApiError` where it has none of that name."""
    kept = [each for each in all_of_them if each not in mine or each["statementId"] != statement_id]
    if len(kept) == len(all_of_them):
        raise not_found(f"Statement {statement_id} is not found in resource policy.")
    return kept


def statement(given: Mapping[str, Any], arn: str) -> dict[str, Any]:
    """A permission as a statement of a policy; `arn` is the resource."""
    found: dict[str, Any] = {
        "Sid": given["statementId"],
        "Effect": "Allow",
        "Principal": _principal(given["principal"]),
        "Action": given["action"],
        "Resource": arn,
    }
    conditions = _conditions(given)
    return found | ({"Condition": conditions} if conditions else {})


def policy(permissions: Sequence[Mapping[str, Any]], arn: str) -> dict[str, Any]:
    """The policy document of one resource."""
    return {"Version": "2012-10-17", "Id": "default", "Statement": [statement(each, arn) for each in permissions]}


def policy_document(permissions: Sequence[Mapping[str, Any]], arn: str) -> str:
    """The policy of one resource, as it is answered."""
    return compact(policy(permissions, arn))


def compact(value: Any) -> str:
    """JSON without spaces, as Lambda has policies and statements."""
    return json.dumps(value, separators=(",", ":"))


def policy_revision(uid: str, document: str) -> str:
    """Another one after each change of the policy."""
    return str(uuid.uuid5(uuid.UUID(uid), hashlib.sha256(document.encode()).hexdigest()))


def _principal(given: str) -> Any:
    if given == "*":
        return given
    if _ACCOUNT.fullmatch(given):
        return {"AWS": f"arn:aws:iam::{given}:root"}
    if _ROLE.fullmatch(given):
        return {"AWS": given}
    if _SERVICE.fullmatch(given):
        return {"Service": given}
    raise invalid_parameter("The provided principal was invalid. Please check the principal and try again.")


def _conditions(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    equals = {
        "AWS:SourceAccount": given.get("sourceAccount"),
        "lambda:EventSourceToken": given.get("eventSourceToken"),
        "lambda:FunctionUrlAuthType": given.get("functionUrlAuthType"),
        "aws:PrincipalOrgID": given.get("principalOrgId"),
    }
    found: dict[str, dict[str, Any]] = {}
    strings = {name: value for name, value in equals.items() if value is not None}
    if strings:
        found["StringEquals"] = strings
    if given.get("invokedViaFunctionUrl") is not None:
        found["Bool"] = {"lambda:InvokedViaFunctionUrl": str(given["invokedViaFunctionUrl"]).lower()}
    if given.get("sourceArn") is not None:
        found["ArnLike"] = {"AWS:SourceArn": given["sourceArn"]}
    return found
