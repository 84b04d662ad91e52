"""The code signing configuration of a function: put, get and delete (§1.1, §1.5.4)."""

from collections.abc import Mapping
from typing import Final

from kubelambda.awsapi.api_error import invalid_parameter
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.function.function_lookup import find, unqualified
from kubelambda.awsapi.function.function_writes import observed, write
from kubelambda.awsapi.signing.signing_config_lookup import arn_of, find_config, not_to_be_used
from kubelambda.kube.kube_client import Object

_FIELD: Final = "codeSigningConfigArn"


async def put_function_code_signing_config(services: Services, call: Call) -> Answer:
    """It concerns the next code: what runs, runs on."""
    name = unqualified(services, call)
    arn: str = call.parameters["CodeSigningConfigArn"]
    if await find_config(services, name.account, arn) is None:
        raise not_to_be_used(arn)

    def spec(before: Object) -> Mapping[str, object]:
        if before["spec"].get("packageType") == "Image":
            raise invalid_parameter("Code signing is not supported for functions with packageType Image.")
        return {**before["spec"], _FIELD: arn}

    body = await write(services, name, spec)
    await observed(services, name, body)
    await services.use.seen(body)
    return Answer({"FunctionName": name.name, "CodeSigningConfigArn": arn}, resource=name.arn)


async def get_function_code_signing_config(services: Services, call: Call) -> Answer:
    """The ARN, also of one that the Function names otherwise; the function's name alone where it has none."""
    name = unqualified(services, call)
    body = await find(services, name)
    members = {"FunctionName": name.name}
    reference = body["spec"].get(_FIELD)
    if reference is not None:
        config = await find_config(services, name.account, reference)
        arn = reference if config is None else arn_of(services, name.account, config)
        members["CodeSigningConfigArn"] = arn
    return Answer(members, resource=name.arn)


async def delete_function_code_signing_config(services: Services, call: Call) -> Answer:
    """The function has none after that; nor did it need to have one."""
    name = unqualified(services, call)
    body = await write(
        services, name, lambda before: {field: value for field, value in before["spec"].items() if field != _FIELD}
    )
    await observed(services, name, body)
    await services.use.seen(body)
    return Answer(None, resource=name.arn)


OPERATIONS: Final[Mapping[str, Handler]] = {
    "PutFunctionCodeSigningConfig": put_function_code_signing_config,
    "GetFunctionCodeSigningConfig": get_function_code_signing_config,
    "DeleteFunctionCodeSigningConfig": delete_function_code_signing_config,
}
