"""GetFunction, GetFunctionConfiguration and ListFunctions (§1.1, §1.3.1)."""

from collections.abc import Mapping
from typing import Any, Final

from kubelambda.awsapi.api_error import invalid_parameter
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.function.function_configuration import configuration
from kubelambda.awsapi.function.function_lookup import find_latest, name_of
from kubelambda.kube.errors import Gone, Invalid
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import FUNCTIONS

PAGE_MAX: Final = 50
"""Functions a page has at most, whatever MaxItems says."""
_AT_ONCE: Final = 25
"""Functions that are read at once: each may carry a megabyte of code in its spec."""
CODE_PATH: Final = "/kubelambda/code/"


async def get_function(services: Services, call: Call) -> Answer:
    """Configuration, tags, reserved concurrency, and an address of the code that is good for a quarter of an hour."""
    name = name_of(services, call)
    body = await find_latest(services, name)
    members: dict[str, Any] = {
        "Configuration": configuration(body, name.region, name.account.id, name.qualifier),
        "Code": {"RepositoryType": "S3", "Location": _location(services, call, body)},
    }
    if body["spec"].get("tags"):
        members["Tags"] = body["spec"]["tags"]
    reserved = body["spec"].get("reservedConcurrentExecutions")
    if reserved is not None:
        members["Concurrency"] = {"ReservedConcurrentExecutions": reserved}
    return Answer(members, resource=name.qualified_arn)


def _location(services: Services, call: Call, body: Object) -> str:
    """Where the deployed archive, or before it is deployed the uploaded one, can be fetched with no credentials."""
    deployed = ((body.get("status") or {}).get("deployed") or {}).get("code") or {}
    sha256 = deployed.get("sha256") or (body["spec"]["code"].get("stored") or {}).get("sha256")
    if sha256 is None:
        return ""
    address = services.store.address(sha256)
    return f"{call.endpoint}{CODE_PATH}{address.rpartition('/')[2]}"


async def get_function_configuration(services: Services, call: Call) -> Answer:
    """The configuration alone."""
    name = name_of(services, call)
    body = await find_latest(services, name)
    return Answer(configuration(body, name.region, name.account.id, name.qualifier), resource=name.qualified_arn)


async def list_functions(services: Services, call: Call) -> Answer:
    """Functions of the caller's account by name, a page at a time."""
    size = min(call.parameters.get("MaxItems", PAGE_MAX), PAGE_MAX)
    marker: str | None = call.parameters.get("Marker")
    found: list[dict[str, Any]] = []
    while len(found) < size:
        limit = min(_AT_ONCE, size - len(found))
        try:
            items, marker = await services.client.page(FUNCTIONS, call.caller.namespace, limit=limit, token=marker)
        except (Gone, Invalid) as error:
            raise invalid_parameter("The Marker is too old, or none that ListFunctions returned.") from error
        found += [configuration(body, services.settings.region, call.caller.id) for body in items]
        if marker is None:
            break
    members: dict[str, Any] = {"Functions": found}
    if marker is not None:
        members["NextMarker"] = marker
    return Answer(members)


OPERATIONS: Final[Mapping[str, Handler]] = {
    "GetFunction": get_function,
    "GetFunctionConfiguration": get_function_configuration,
    "ListFunctions": list_functions,
}
