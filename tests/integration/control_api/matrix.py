"""`matrix.yaml` as calls: of every operation the good one, and the wrong ones that can be made of it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from kubelambda.awsapi.model.service_model import Operation, ServiceModel, Shape

MODEL: Final = ServiceModel.load("lambda")
FUNCTION: Final = "{function}"
GOOD: Final = "ok"
PENDING: Final = "state Pending"
STALE_REVISION: Final = "stale RevisionId"
ACCOUNT: Final = "999999999999"
REGION: Final = "eu-west-1"
STALE: Final = "00000000-0000-0000-0000-000000000000"
_WRONG: Final[dict[str, tuple[Any, str, str]]] = {
    "string": (7, "7", "a string"),
    "integer": ("x", "x", "an integer"),
    "long": ("x", "x", "an integer"),
    "double": ("x", "x", "a number"),
    "boolean": ("x", "x", "true or false"),
    "list": ("x", "x", "a list"),
    "map": ("x", "x", "a map"),
    "structure": ("x", "x", "a structure"),
}
"""A value of another type by type, as it is shown, and what it should have been."""
_STATE: Final = (
    "The operation cannot be performed at this time. The function is currently in the following state: Pending"
)
_STALE: Final = {
    "AddPermission": "GetPolicy",
    "RemovePermission": "GetPolicy",
    "AddLayerVersionPermission": "GetLayerPolicy",
    "RemoveLayerVersionPermission": "GetLayerPolicy",
}


@dataclass(frozen=True)
class Case:
    """One call, and the answer to it. `text` is empty for a success."""

    operation: str
    column: str
    request: str
    body: Any
    status: int
    error: str = ""
    text: str = ""

    def __str__(self) -> str:
        return f"{self.operation}-{self.column}".replace(" ", "-")


def cases() -> list[Case]:
    """All of them, the good one of an operation before its wrong ones."""
    rows = yaml.safe_load(Path(__file__).with_name("matrix.yaml").read_text())
    return [case for row in rows for case in _cases(row)]


def _cases(row: dict[str, Any]) -> Iterator[Case]:
    operation = MODEL.operations[row["operation"]]
    request, body = row["request"], row.get("body")
    good = Case(operation.name, GOOD, request.replace(FUNCTION, "hello"), body, row.get("status", operation.status))
    if operation.name == "DeleteFunction":
        good = Case(operation.name, GOOD, request.replace(FUNCTION, "made"), body, row["status"])
    yield good
    if FUNCTION in request:
        yield from _of_function(operation, row)
    if body is not None:
        yield from _of_body(operation, good)
    if "RevisionId" in MODEL.members(operation.input):
        yield _of_revision(operation, good)


def _of_function(operation: Operation, row: dict[str, Any]) -> Iterator[Case]:
    request, body = row["request"], row.get("body")

    def called(column: str, name: str, status: int, error: str, text: str) -> Case:
        return Case(operation.name, column, request.replace(FUNCTION, name), body, status, error, text)

    shape = MODEL.shape(MODEL.members(operation.input)["FunctionName"]["shape"])
    missing = row.get("missing", "Function not found: {arn}absent" + _qualifier(request))
    if missing:
        yield called("missing function", "absent", 404, "ResourceNotFoundException", missing)
        if "missing" not in row:
            theirs = f"arn%3Aaws%3Alambda%3Aus-east-1%3A{ACCOUNT}%3Afunction%3Aabsent"
            text = missing.replace("{arn}", f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:")
            yield called("wrong account", theirs, 404, "ResourceNotFoundException", text)
    yield called("bad name", "a%20b", 400, "ValidationException", _violations("a b", shape, "pattern"))
    longest = "n" * (shape["max"] + 1)
    broken = ("max",) if re.fullmatch(shape["pattern"], longest) else ("max", "pattern")
    yield called("too long", longest, 400, "ValidationException", _violations(longest, shape, *broken))
    elsewhere = f"arn%3Aaws%3Alambda%3A{REGION}%3A{{account}}%3Afunction%3Ahello"
    text = f"Functions from '{REGION}' are not reachable in this region ('us-east-1')"
    yield called("wrong region", elsewhere, 404, "ResourceNotFoundException", text)
    if row.get("settled"):
        yield called(PENDING, "pending", 409, "ResourceConflictException", _STATE)


def _qualifier(request: str) -> str:
    return f":{request.partition('?Qualifier=')[2]}" if "?Qualifier=" in request else ""


def _violations(value: str, shape: Shape, *constraints: str) -> str:
    words = {
        "pattern": "Member must satisfy regular expression pattern: ",
        "max": "Member must have length less than or equal to ",
    }
    where = f"Value '{value}' at 'functionName' failed to satisfy constraint: "
    found = [f"{where}{words[constraint]}{shape[constraint]}" for constraint in constraints]
    return f"{len(found)} validation error{'s'[: len(found) - 1]} detected: {'; '.join(found)}"


def _of_body(operation: Operation, good: Case) -> Iterator[Case]:
    members = MODEL.members(operation.input)

    def called(column: str, change: dict[str, Any], text: str) -> Case:
        body = {**good.body, **change}
        return Case(operation.name, column, good.request, body, 400, "ValidationException", text)

    where = "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: {}"
    yield called(
        "unknown member", {"Unknown": "x"}, where.format("x", "unknown", "Member is unknown to this operation")
    )
    for name in good.body:
        kind = MODEL.shape(members[name]["shape"])["type"]
        if kind in _WRONG:
            value, shown, wanted = _WRONG[kind]
            text = where.format(shown, name[:1].lower() + name[1:], f"Member must be {wanted}")
            yield called("wrong type", {name: value}, text)
            return


def _of_revision(operation: Operation, good: Case) -> Case:
    request, body = good.request, good.body
    if MODEL.members(operation.input)["RevisionId"].get("location") == "querystring":
        request = f"{request}?RevisionId={STALE}"
    else:
        body = {**body, "RevisionId": STALE}
    if operation.name.endswith("Permission") and operation.name.startswith("Add"):
        body = {**body, "StatementId": "another"}
    text = "The Revision Id provided does not match the latest Revision Id. Call the "
    text += f"{_STALE.get(operation.name, 'GetFunction/GetAlias')} API to retrieve the latest Revision Id"
    return Case(operation.name, STALE_REVISION, request, body, 412, "PreconditionFailedException", text)
