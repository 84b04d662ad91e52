"""Writing objects: never over what somebody else changed meanwhile, or declares as theirs."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from kubelambda.awsapi.api_error import conflict
from kubelambda.awsapi.call import FIELD_MANAGER, Services
from kubelambda.awsapi.function.spec_changes import merge_patch, owners, paths
from kubelambda.awsapi.refusal import refusal
from kubelambda.kube.errors import Conflict, KubeError, NotFound
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import Resource

# An unknown field is an error, not a field that is silently dropped.
WRITE: Final = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
_ATTEMPTS: Final = 16
_PAUSE_S: Final = 0.01
_PAUSE_MAX_S: Final = 0.5
"""Each pause is at most twice the one before, and chance shares them out: of many writers one would lose each time."""
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"

type Change = Callable[[Object], Mapping[str, Any]]
"""From an object to its spec as it should be. May raise `ApiError`."""


async def write_spec(
    services: Services,
    resource: Resource,
    arn: str,
    read: Callable[[], Awaitable[Object]],
    change: Change,
    *,
    annotate: Callable[[Object], Mapping[str, str | None]] = lambda _: {},
) -> Object:
    """Changes the spec of an object, and annotations with it; returns it after that, or as it was when nothing changes.

    Of two writers at once the second starts again from what the first left. Raises `ApiError`.
    """
    for attempt in range(_ATTEMPTS):
        body = await read()
        patch = merge_patch(body["spec"], change(body))
        annotations = _changed_annotations(body, annotate(body))
        if not patch and not annotations:
            return body
        _refuse_declared(arn, body, patch)
        metadata = body["metadata"]
        document = {
            "metadata": {"resourceVersion": metadata["resourceVersion"], "annotations": annotations},
            "spec": patch,
        }
        try:
            return await services.client.patch(resource, metadata["name"], document, metadata["namespace"], query=WRITE)
        except (Conflict, NotFound):
            most = min(_PAUSE_MAX_S, _PAUSE_S * 2.0**attempt)
            await asyncio.sleep(random.uniform(0, most))  # noqa: S311 - no secret
        except KubeError as error:
            raise refusal(error) from error
    raise conflict(f"It changes faster than it can be updated: {arn}")


async def delete(services: Services, resource: Resource, body: Object) -> None:
    """Deletes an object; one that is not there is gone already. Raises `ApiError`."""
    metadata = body["metadata"]
    try:
        await services.client.delete(resource, metadata["name"], metadata["namespace"])
    except NotFound:
        pass
    except KubeError as error:
        raise refusal(error) from error


def _changed_annotations(body: Object, wanted: Mapping[str, str | None]) -> dict[str, str | None]:
    found = body["metadata"].get("annotations") or {}
    return {name: value for name, value in wanted.items() if found.get(name) != value}


def last_written(body: Object) -> str:
    """When somebody last wrote more than a status, in RFC 3339, as the API server keeps it."""
    metadata = body["metadata"]
    times = (each["time"] for each in metadata.get("managedFields") or () if not each.get("subresource"))
    found: str = max(times, default=metadata["creationTimestamp"])
    return found


def _applied(body: Object) -> Mapping[str, Any] | None:
    """The configuration that `kubectl apply` keeps with an object; None where there is none that can be read."""
    try:
        found = json.loads((body["metadata"].get("annotations") or {}).get(_LAST_APPLIED, ""))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _refuse_declared(arn: str, body: Object, patch: Mapping[str, Any]) -> None:
    managed = body["metadata"].get("managedFields") or []
    for manager, field in owners(managed, list(paths(patch, ("spec",))), applied=_applied(body)):
        raise conflict(
            f"{field} of {arn} is declared by {manager}, which would undo the change: change it there, "
            "or take it out of what that applies."
        )
