"""What clients ask of every function though hardly any has it: Terraform's provider does so on each read."""

from collections.abc import Mapping
from typing import Final

from kubelambda.awsapi.api_error import not_served
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.function.function_lookup import find, name_of, unqualified


async def get_function_code_signing_config(services: Services, call: Call) -> Answer:
    """The name alone: no function has a code signing configuration in this release."""
    name = unqualified(services, call)
    await find(services, name)
    return Answer({"FunctionName": name.name}, resource=name.arn)


async def get_runtime_management_config(services: Services, call: Call) -> Answer:
    """Runtimes follow their images, which is Lambda's `Auto`."""
    name = name_of(services, call)
    await find(services, name)
    return Answer({"UpdateRuntimeOn": "Auto", "FunctionArn": name.qualified_arn}, resource=name.qualified_arn)


async def put_runtime_management_config(services: Services, call: Call) -> Answer:
    """`Auto` is what is; nothing else is served."""
    if call.parameters["UpdateRuntimeOn"] != "Auto":
        raise not_served(f"UpdateRuntimeOn {call.parameters['UpdateRuntimeOn']}")
    return await get_runtime_management_config(services, call)


OPERATIONS: Final[Mapping[str, Handler]] = {
    "GetFunctionCodeSigningConfig": get_function_code_signing_config,
    "GetRuntimeManagementConfig": get_runtime_management_config,
    "PutRuntimeManagementConfig": put_runtime_management_config,
}
