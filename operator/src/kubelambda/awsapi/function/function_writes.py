"""Changing Functions, and when they may be changed (§1.4)."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

from kubelambda.awsapi.api_error import conflict, stale
from kubelambda.awsapi.call import Services
from kubelambda.awsapi.function.function_configuration import is_current, revision_id, state
from kubelambda.awsapi.function.function_lookup import FunctionName, find
from kubelambda.awsapi.object_writes import Change, write_spec
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import FUNCTIONS

_OBSERVED_S: Final = 2.0
_POLL_S: Final = 0.05


async def write(services: Services, name: FunctionName, change: Change, *, revision: str | None = None) -> Object:
    """Changes the spec of a Function; with a `revision`, only the one that the caller has seen (§1.4.7).

    Lists show the change once it returns.
    """

    def checked(body: Object) -> Mapping[str, Any]:
        if revision is not None and revision != revision_id(body):
            raise stale("GetFunction/GetAlias")
        return change(body)

    body = await write_spec(services, FUNCTIONS, name.arn, lambda: find(services, name), checked)
    await services.use.seen(body)
    return body


def require_settled(name: FunctionName, body: Object) -> None:
    """Refuses a change of code or configuration while another one is under way (§1.4.4)."""
    found = state(body)
    if found.get("State") == "Pending":
        text = "The operation cannot be performed at this time. The function is currently in the following state: "
        raise conflict(f"{text}Pending")
    if found.get("LastUpdateStatus") == "InProgress":
        text = "The operation cannot be performed at this time. An update is in progress for resource: "
        raise conflict(text + name.arn)


async def observed(services: Services, name: FunctionName, body: Object, seconds: float = _OBSERVED_S) -> Object:
    """The object once the operator has looked at it, or after some seconds: then as it is."""
    deadline = time.monotonic() + seconds
    while not is_current(body) and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_S)
        body = await find(services, name)
    return body
