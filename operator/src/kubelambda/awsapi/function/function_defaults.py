"""What clients ask of every function though hardly any has it: Terraform's provider does so on each read."""

from collections.abc import Mapping
from typing import Final

from kubelambda.awsapi.api_error import not_served
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.function.function_lookup import find, name_of, unqualified
from kubelambda.awsapi.function.function_writes import observed, write
from kubelambda.awsapi.version.version_lookup import resolve
from kubelambda.kube.kube_client import Object

_LOOP: Final = "recursiveLoop"


async def get_runtime_management_config(services: Services, call: Call) -> Answer:
    """Runtimes follow their images, which is Lambda's `Auto`."""
    name = name_of(services, call)
    await resolve(services, name)
    return Answer({"UpdateRuntimeOn": "Auto", "FunctionArn": name.qualified_arn}, resource=name.qualified_arn)


async def put_runtime_management_config(services: Services, call: Call) -> Answer:
    """`Auto` is what is; nothing else is served."""
    if call.parameters["UpdateRuntimeOn"] != "Auto":
        raise not_served(f"UpdateRuntimeOn {call.parameters['UpdateRuntimeOn']}")
    return await get_runtime_management_config(services, call)


async def get_function_recursion_config(services: Services, call: Call) -> Answer:
    """Whether a chain of invocations that keeps coming back is ended (§6.8)."""
    name = unqualified(services, call)
    return Answer(_recursion(await find(services, name)), resource=name.arn)


async def put_function_recursion_config(services: Services, call: Call) -> Answer:
    """`Terminate` or `Allow`."""
    name = unqualified(services, call)
    wanted = call.parameters["RecursiveLoop"]
    body = await write(services, name, lambda before: {**before["spec"], _LOOP: wanted})
    return Answer(_recursion(await observed(services, name, body)), resource=name.arn)


def _recursion(body: Object) -> dict[str, str]:
    return {"RecursiveLoop": body["spec"].get(_LOOP, "Terminate")}


OPERATIONS: Final[Mapping[str, Handler]] = {
    "GetRuntimeManagementConfig": get_runtime_management_config,
    "PutRuntimeManagementConfig": put_runtime_management_config,
    "GetFunctionRecursionConfig": get_function_recursion_config,
    "PutFunctionRecursionConfig": put_function_recursion_config,
}
