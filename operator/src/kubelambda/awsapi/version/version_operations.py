"""PublishVersion, ListVersionsByFunction, and deleting one version (§1.5.1, §1.5.3)."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kubelambda.awsapi.api_error import conflict, invalid_parameter, stale, unavailable
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.function.function_configuration import LATEST, configuration, revision_id
from kubelambda.awsapi.function.function_lookup import FunctionName, find, name_of, unqualified
from kubelambda.awsapi.function.function_writes import require_settled
from kubelambda.awsapi.object_writes import WRITE
from kubelambda.awsapi.refusal import refusal
from kubelambda.awsapi.version.version_lookup import (
    aliases_of,
    find_version,
    target_of,
    version_configuration,
    versions_of,
)
from kubelambda.kube.errors import KubeError, NotFound
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import FUNCTION_VERSIONS

PAGE_MAX: Final = 50
_PUBLISHED_S: Final = 25.0
"""How long the operator may take: less than callers wait for an answer."""
_POLL_S: Final = 0.05
_WAITS: Final = frozenset({"InProgress", ""})


async def publish_version(services: Services, call: Call) -> Answer:
    """A snapshot of `$LATEST`, or the last one when nothing has changed since."""
    name = unqualified(services, call)
    function = await find(services, name)
    require_settled(name, function)
    if call.parameters.get("RevisionId") not in (None, revision_id(function)):
        raise stale("GetFunction/GetAlias")
    spec = {"functionName": function["metadata"]["name"]}
    if "Description" in call.parameters:
        spec["description"] = call.parameters["Description"]
    if call.parameters.get("CodeSha256"):
        spec["codeSha256"] = _current_code(function, call.parameters["CodeSha256"])
    version = await published(services, name, function, spec)
    members = version_configuration(version, function, name.region, name.account.id)
    return Answer(members, resource=members["FunctionArn"])


def _current_code(function: Object, given: str) -> str:
    real = (function.get("status") or {}).get("codeSha256")
    if given != real:
        raise invalid_parameter(
            f"CodeSHA256 ({given}) is different from current CodeSHA256 in $LATEST ({real}). "
            "Please try again with the CodeSHA256 in $LATEST."
        )
    return given


async def published(services: Services, name: FunctionName, function: Object, spec: Mapping[str, Any]) -> Object:
    """Asks the operator for a version and waits for its number. Raises `ApiError`."""
    metadata = function["metadata"]
    owner = {"apiVersion": function["apiVersion"], "kind": "Function", "name": metadata["name"], "uid": metadata["uid"]}
    manifest = {
        "apiVersion": FUNCTION_VERSIONS.api_version,
        "kind": FUNCTION_VERSIONS.kind,
        "metadata": {"generateName": f"{metadata['name'][:50]}-", "ownerReferences": [owner]},
        "spec": spec,
    }
    try:
        body = await services.client.create(FUNCTION_VERSIONS, manifest, metadata["namespace"], query=WRITE)
        body = await _numbered(services, name, body)
    except KubeError as error:
        raise refusal(error) from error
    if body["status"].get("deployed") is not None:
        return body
    found = await find_version(services, function, body["status"]["version"])
    await _drop(services, body)  # it only repeats that one
    if found is None:
        raise conflict(f"The last version was deleted while it was published again: {name.arn}")
    return found


async def _numbered(services: Services, name: FunctionName, body: Object) -> Object:
    metadata = body["metadata"]
    deadline = time.monotonic() + _PUBLISHED_S
    while True:
        status = body.get("status") or {}
        if status.get("version"):
            return body
        ready: Mapping[str, str] = next(
            (each for each in status.get("conditions") or [] if each["type"] == "Ready"), {}
        )
        if ready.get("status") == "False" and ready.get("reason") not in _WAITS:
            await _drop(services, body)
            raise invalid_parameter(ready.get("message", ""))
        if time.monotonic() > deadline:
            await _drop(services, body)
            raise unavailable(f"The version was not published in time: {name.arn}")
        await asyncio.sleep(_POLL_S)
        body = await services.client.get(FUNCTION_VERSIONS, metadata["name"], metadata["namespace"])


async def _drop(services: Services, body: Object) -> None:
    try:
        await services.client.delete(FUNCTION_VERSIONS, body["metadata"]["name"], body["metadata"]["namespace"])
    except NotFound:
        return


async def list_versions_by_function(services: Services, call: Call) -> Answer:
    """`$LATEST` first, then every published version by number."""
    name = name_of(services, call)
    function = await find(services, name)
    found = all_configurations(function, await versions_of(services, function), name.region, name.account.id)
    return Answer(page_of(call, "Versions", found, PAGE_MAX), resource=name.arn)


def all_configurations(function: Object, versions: list[Object], region: str, account: str) -> list[dict[str, Any]]:
    """Configurations of `$LATEST` and of all published versions, each with its qualified ARN."""
    latest = configuration(function, region, account, LATEST)
    return [latest, *(version_configuration(version, function, region, account) for version in versions)]


def page_of(call: Call, member: str, found: Sequence[Any], page_max: int) -> dict[str, Any]:
    """The page after `Marker`, and the next one's marker: how many came before it."""
    marker = call.parameters.get("Marker", "0")
    if not marker.isdecimal():
        raise invalid_parameter(f"The Marker is none that {call.operation} returned.")
    start = int(marker)
    end = start + min(call.parameters.get("MaxItems", page_max), page_max)
    more = {"NextMarker": str(end)} if end < len(found) else {}
    return {member: found[start:end], **more}


async def delete_version(services: Services, name: FunctionName, function: Object) -> None:
    """Deletes the version that the name's qualifier is, unless an alias leads to it."""
    number = name.qualifier or ""
    version = await find_version(services, function, number)
    if version is None:
        raise name.missing()
    for alias in await aliases_of(services, function):
        weights = (alias["spec"].get("routingConfig") or {}).get("additionalVersionWeights") or {}
        if target_of(alias) == number or number in weights:
            raise conflict(
                f"The version cannot be deleted, alias {alias['spec']['name']} uses it: {name.qualified_arn}"
            )
    try:
        await services.client.delete(FUNCTION_VERSIONS, version["metadata"]["name"], name.account.namespace)
    except NotFound as error:
        raise name.missing() from error
    except KubeError as error:
        raise refusal(error) from error


OPERATIONS: Final[Mapping[str, Handler]] = {
    "PublishVersion": publish_version,
    "ListVersionsByFunction": list_versions_by_function,
}
