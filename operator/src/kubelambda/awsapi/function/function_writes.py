"""Writing Functions: never over what somebody else changed meanwhile, or declares as theirs."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from kubelambda.awsapi.api_error import conflict, stale
from kubelambda.awsapi.call import FIELD_MANAGER, Services
from kubelambda.awsapi.function.function_configuration import is_current, revision_id, state
from kubelambda.awsapi.function.function_lookup import FunctionName, find
from kubelambda.awsapi.function.spec_changes import merge_patch, owners, paths
from kubelambda.awsapi.refusal import refusal
from kubelambda.kube.errors import Conflict, KubeError, NotFound
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import FUNCTIONS

# An unknown field is an error, not a field that is silently dropped.
WRITE: Final = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
_ATTEMPTS: Final = 8
_OBSERVED_S: Final = 2.0
_POLL_S: Final = 0.05
type Change = Callable[[Object], Mapping[str, Any]]
"""From a Function object to its spec as it should be. May raise `ApiError`."""


async def write(services: Services, name: FunctionName, change: Change, *, revision: str | None = None) -> Object:
    """Changes the spec of a Function; returns the object after it, or as it was when nothing changes.

    Of two writers at once the second starts again from what the first left; with a `revision` it is refused (§1.4.7).
    """
    for _ in range(_ATTEMPTS):
        body = await find(services, name)
        if revision is not None and revision != revision_id(body):
            raise stale("GetFunction/GetAlias")
        patch = merge_patch(body["spec"], change(body))
        if not patch:
            return body
        _refuse_declared(name, body, patch)
        metadata = {"resourceVersion": body["metadata"]["resourceVersion"]}
        try:
            return await services.client.patch(
                FUNCTIONS,
                body["metadata"]["name"],
                {"metadata": metadata, "spec": patch},
                name.account.namespace,
                query=WRITE,
            )
        except (Conflict, NotFound):
            continue
        except KubeError as error:
            raise refusal(error) from error
    raise conflict(f"The function changes faster than it can be updated: {name.arn}")


def require_settled(name: FunctionName, body: Object) -> None:
    """Refuses a change of code or configuration while another one is under way (§1.4.4)."""
    found = state(body)
    if found.get("State") == "Pending":
        text = (
            "The operation cannot be performed at this time. The function is currently in the following state: Pending"
        )
        raise conflict(text)
    if found.get("LastUpdateStatus") == "InProgress":
        text = "The operation cannot be performed at this time. An update is in progress for resource: "
        raise conflict(text + name.arn)


async def observed(services: Services, name: FunctionName, body: Object) -> Object:
    """The object once the operator has looked at it, for at most two seconds: then as it is."""
    deadline = time.monotonic() + _OBSERVED_S
    while not is_current(body) and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_S)
        body = await find(services, name)
    return body


def _refuse_declared(name: FunctionName, body: Object, patch: Mapping[str, Any]) -> None:
    managed = body["metadata"].get("managedFields") or []
    for manager, field in owners(managed, list(paths(patch, ("spec",)))):
        raise conflict(
            f"{field} of {name.arn} is declared by {manager}, which would undo the change: change it there, "
            "or take it out of what that applies."
        )
