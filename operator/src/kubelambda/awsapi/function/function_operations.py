"""CreateFunction, UpdateFunctionCode, UpdateFunctionConfiguration and DeleteFunction (§1.1, §1.4)."""

import json
from collections.abc import Mapping
from typing import Any, Final

from kubelambda.api import limits
from kubelambda.awsapi.api_error import ApiError, conflict, invalid_parameter, stale
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.function import received_code
from kubelambda.awsapi.function.function_configuration import LATEST, configuration, revision_id
from kubelambda.awsapi.function.function_lookup import FunctionName, find, find_object, name_of, unqualified
from kubelambda.awsapi.function.function_writes import require_settled, write
from kubelambda.awsapi.function.spec_changes import changed
from kubelambda.awsapi.layer.layer_references import named_layers, with_layer_sizes
from kubelambda.awsapi.object_writes import WRITE
from kubelambda.awsapi.refusal import refusal
from kubelambda.awsapi.signing.signature_check import Deployment, require_trusted
from kubelambda.awsapi.tag.tag_limits import check_tags
from kubelambda.awsapi.version.version_lookup import version_configuration
from kubelambda.awsapi.version.version_operations import delete_version, published
from kubelambda.core.function import lambda_runtimes
from kubelambda.core.function.object_name import object_names
from kubelambda.kube.errors import Conflict, KubeError, NotFound
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import FUNCTIONS, RUNTIMES

_NAME_MAX_CHARS: Final = 64


async def create_function(services: Services, call: Call) -> Answer:
    """Uploads the code, then makes the object: what comes apart between the two, the code store collects."""
    name = _new_name(services, call)
    _check_variables(call.parameters)
    tags: dict[str, str] = call.parameters.get("Tags") or {}
    check_tags(tags)
    await _check_runtime(services, call.parameters)
    layers = await named_layers(services, call, name.account)
    if await find_object(services, name) is not None:
        raise _exists(name)
    given = call.parameters["Code"]
    code = await received_code.received(services, name.account.namespace, given)
    deployment = Deployment(name, name.name, code, layers)
    await require_trusted(services, deployment, call.parameters.get("CodeSigningConfigArn"))
    if code is not None:
        await received_code.upload(services, code)
    stored = code.stored(services, name.account.namespace) if code else None
    spec = {**changed({}, call.parameters), "code": received_code.source(given, stored)}
    if tags:
        spec["tags"] = tags
    body = await _created(services, name, spec)
    await services.use.seen(body)
    if code is not None:
        await received_code.upload(services, code)  # again: it may have been collected before the object named it
    members = await _perhaps_published(services, call, name, body)
    return Answer(with_layer_sizes(members, layers), resource=name.arn)


async def _perhaps_published(services: Services, call: Call, name: FunctionName, body: Object) -> dict[str, Any]:
    """The configuration of `$LATEST`, or of the version that `Publish` makes of it once it is deployed."""
    if not call.parameters.get("Publish"):
        return configuration(body, name.region, name.account.id)
    version = await published(services, name, body, {"functionName": body["metadata"]["name"]})
    return version_configuration(version, body, name.region, name.account.id)


def _new_name(services: Services, call: Call) -> FunctionName:
    name = name_of(services, call)
    if len(name.name) > _NAME_MAX_CHARS:
        # Recorded under this type, unlike other violations of a shape (§0.5).
        raise invalid_parameter(
            f"1 validation error detected: Value '{name.name}' at 'functionName' failed to satisfy constraint: "
            f"Member must have length less than or equal to {_NAME_MAX_CHARS}"
        )
    if name.qualifier is not None:
        raise invalid_parameter(f"The function name of a new function has no qualifier: {name.qualifier}")
    return name


async def _created(services: Services, name: FunctionName, spec: Mapping[str, Any]) -> Object:
    for candidate in object_names(name.name):
        named = spec if candidate == name.name else {"functionName": name.name, **spec}
        manifest = {
            "apiVersion": FUNCTIONS.api_version,
            "kind": FUNCTIONS.kind,
            "metadata": {"name": candidate, "namespace": name.account.namespace},
            "spec": named,
        }
        try:
            return await services.client.create(FUNCTIONS, manifest, name.account.namespace, query=WRITE)
        except Conflict:
            if await find_object(services, name) is not None:
                raise _exists(name) from None
        except KubeError as error:
            raise refusal(error) from error
    raise _exists(name)


def _exists(name: FunctionName) -> ApiError:
    return conflict(f"Function already exist: {name.name}")


async def _check_runtime(services: Services, parameters: Mapping[str, Any]) -> None:
    """A runtime that nobody here has is refused at once, with Lambda's texts (§0.5) over our names."""
    runtime = parameters.get("Runtime")
    if runtime is None:
        return
    found, _ = await services.client.page(RUNTIMES, None, limit=500)
    names = lambda_runtimes.names_of(body["metadata"]["name"] for body in found)
    if runtime not in names and runtime in lambda_runtimes.BLOCKED:
        raise invalid_parameter(lambda_runtimes.no_longer_supported(runtime))
    if runtime not in names:
        raise invalid_parameter(
            f"Value {runtime} at 'runtime' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{', '.join(names)}] or be a valid ARN"
        )


def _check_variables(parameters: Mapping[str, Any]) -> None:
    """Environment variables within 4 KB, with the text that repeats them, and none that is Lambda's own (§1.3)."""
    variables = (parameters.get("Environment") or {}).get("Variables") or {}
    reserved = [name for name in variables if name in limits.RESERVED_ENVIRONMENT_VARIABLES]
    if reserved:
        raise invalid_parameter(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            "provided contains reserved keys that are currently not supported for modification. Reserved keys used in "
            f"this request: {', '.join(reserved)}"
        )
    measured = json.dumps(variables, separators=(",", ":"), ensure_ascii=False)
    if len(measured.encode()) > limits.ENVIRONMENT_MAX_BYTES:
        raise invalid_parameter(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            f"provided exceeded the 4KB limit. String measured: {measured}"
        )


async def update_function_code(services: Services, call: Call) -> Answer:
    """New code for `$LATEST`; with DryRun only the check of it."""
    name = unqualified(services, call)
    body = await find(services, name)
    require_settled(name, body)
    parameters = call.parameters
    if parameters.get("RevisionId") not in (None, revision_id(body)):
        raise stale("GetFunction/GetAlias")
    _check_package(body, parameters)
    code = await received_code.received(services, name.account.namespace, parameters)
    stored = code.stored(services, name.account.namespace) if code else None
    source = received_code.source(parameters, stored)
    reference = body["spec"].get("codeSigningConfigArn")
    await require_trusted(services, Deployment(name, name.arn, code), reference, before=body)

    def spec(before: Object) -> Mapping[str, Any]:
        require_settled(name, before)
        more = {member: parameters[member] for member in ("Architectures", "PublishTo") if member in parameters}
        return {**changed(before["spec"], more), "code": source}

    if parameters.get("DryRun"):
        planned = {**body, "spec": spec(body)}
        return Answer(configuration(planned, name.region, name.account.id), resource=name.arn)
    if code is not None:
        await received_code.upload(services, code)
    body = await write(services, name, spec, revision=parameters.get("RevisionId"))
    if code is not None:
        await received_code.upload(services, code)
    return Answer(await _perhaps_published(services, call, name, body), resource=name.arn)


def _check_package(body: Object, parameters: Mapping[str, Any]) -> None:
    package = body["spec"].get("packageType", "Zip")
    if package == "Zip" and parameters.get("ImageUri"):
        raise invalid_parameter("Please don't provide ImageUri when updating a function with packageType Zip.")
    if package == "Image" and not parameters.get("ImageUri"):
        raise invalid_parameter("Please provide ImageUri when updating a function with packageType Image.")


async def update_function_configuration(services: Services, call: Call) -> Answer:
    """New configuration for `$LATEST`; what the call does not name stays."""
    name = unqualified(services, call)
    _check_variables(call.parameters)
    await _check_runtime(services, call.parameters)
    body = await find(services, name)
    layers = await named_layers(services, call, name.account)
    reference = body["spec"].get("codeSigningConfigArn")
    await require_trusted(services, Deployment(name, name.arn, layers=layers), reference, before=body)

    def spec(before: Object) -> Mapping[str, Any]:
        require_settled(name, before)
        return changed(before["spec"], call.parameters)

    body = await write(services, name, spec, revision=call.parameters.get("RevisionId"))
    members = configuration(body, name.region, name.account.id)
    return Answer(with_layer_sizes(members, layers), resource=name.arn)


async def delete_function(services: Services, call: Call) -> Answer:
    """The function with everything that belongs to it; event source mappings stay (§1.5.3)."""
    name = name_of(services, call)
    body = await find(services, FunctionName(name.account, name.region, name.name, None))
    if name.qualifier == LATEST:
        raise invalid_parameter("$LATEST version cannot be deleted without deleting the function.")
    if name.qualifier is not None and not name.qualifier.isdecimal():
        raise invalid_parameter("Deletion of aliases is not currently supported.")
    if name.qualifier is not None:
        await delete_version(services, name, body)
        return Answer(None, status=204, resource=name.qualified_arn)
    try:
        await services.client.delete(FUNCTIONS, body["metadata"]["name"], name.account.namespace)
    except NotFound as error:
        raise name.missing() from error
    except KubeError as error:
        raise refusal(error) from error
    await services.use.seen_deleted(body)
    return Answer(None, status=204, resource=name.arn)


OPERATIONS: Final[Mapping[str, Handler]] = {
    "CreateFunction": create_function,
    "UpdateFunctionCode": update_function_code,
    "UpdateFunctionConfiguration": update_function_configuration,
    "DeleteFunction": delete_function,
}
