"""GetFunction, GetFunctionConfiguration and ListFunctions (§1.1, §1.3.1)."""

from collections.abc import Mapping
from typing import Any, Final

from kubelambda.awsapi.api_error import invalid_parameter, unavailable
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.function.function_configuration import LATEST, configuration
from kubelambda.awsapi.function.function_lookup import FunctionName, name_of
from kubelambda.awsapi.function.listed_functions import InvalidMarker
from kubelambda.awsapi.version.version_lookup import Qualified, resolve, version_configuration, versions_of
from kubelambda.kube.kube_client import Object

PAGE_MAX: Final = 50
"""Functions a page has at most, whatever MaxItems says."""
CODE_PATH: Final = "/kubelambda/code/"


async def get_function(services: Services, call: Call) -> Answer:
    """Configuration, tags, reserved concurrency, and an address of the code that is good for a quarter of an hour."""
    name = name_of(services, call)
    found = await resolve(services, name)
    body = found.function
    members: dict[str, Any] = {
        "Configuration": _configuration(name, found),
        "Code": _code(services, call, found.version or body, body),
    }
    if body["spec"].get("tags"):
        members["Tags"] = body["spec"]["tags"]
    reserved = body["spec"].get("reservedConcurrentExecutions")
    if reserved is not None:
        members["Concurrency"] = {"ReservedConcurrentExecutions": reserved}
    return Answer(members, resource=name.qualified_arn)


def _configuration(name: FunctionName, found: Qualified) -> dict[str, Any]:
    if found.version is None:
        return configuration(found.function, name.region, name.account.id, name.qualifier)
    return version_configuration(found.version, found.function, name.region, name.account.id, name.qualifier)


def _code(services: Services, call: Call, deployed: Object, function: Object) -> dict[str, Any]:
    image = (function["spec"].get("code") or {}).get("imageUri")
    if image is None:
        return {"RepositoryType": "S3", "Location": _location(services, call, deployed)}
    return {"RepositoryType": "ECR", "ImageUri": image, "ResolvedImageUri": image}


def _location(services: Services, call: Call, body: Object) -> str:
    """Where the deployed archive, or before it is deployed the uploaded one, can be fetched with no credentials."""
    deployed = ((body.get("status") or {}).get("deployed") or {}).get("code") or {}
    sha256 = deployed.get("sha256") or ((body["spec"].get("code") or {}).get("stored") or {}).get("sha256")
    if sha256 is None:
        return ""
    return code_address(services, call, sha256)


def code_address(services: Services, call: Call, sha256: str) -> str:
    """An address of an archive for whoever has it, for a quarter of an hour."""
    address = services.store.address(sha256)
    return f"{call.endpoint}{CODE_PATH}{address.rpartition('/')[2]}"


async def get_function_configuration(services: Services, call: Call) -> Answer:
    """The configuration alone."""
    name = name_of(services, call)
    return Answer(_configuration(name, await resolve(services, name)), resource=name.qualified_arn)


async def list_functions(services: Services, call: Call) -> Answer:
    """Functions of the caller's account by name, a page at a time."""
    size = min(call.parameters.get("MaxItems", PAGE_MAX), PAGE_MAX)
    try:
        bodies, marker = await services.use.listed(call.caller.namespace, call.parameters.get("Marker"), size)
    except InvalidMarker as error:
        raise invalid_parameter("The Marker is none that ListFunctions returned.") from error
    except TimeoutError as error:
        raise unavailable("The functions of the account are still being read") from error
    found: list[dict[str, Any]] = []
    for body in bodies:
        found += await _listed(services, call, body)
    members: dict[str, Any] = {"Functions": found}
    if marker is not None:
        members["NextMarker"] = marker
    return Answer(members)


async def _listed(services: Services, call: Call, body: Object) -> list[dict[str, Any]]:
    region, account = services.settings.region, call.caller.id
    if call.parameters.get("FunctionVersion") != "ALL":
        return [configuration(body, region, account)]
    versions = await versions_of(services, body)
    published = (version_configuration(version, body, region, account) for version in versions)
    return [configuration(body, region, account, LATEST), *published]


OPERATIONS: Final[Mapping[str, Handler]] = {
    "GetFunction": get_function,
    "GetFunctionConfiguration": get_function_configuration,
    "ListFunctions": list_functions,
}
