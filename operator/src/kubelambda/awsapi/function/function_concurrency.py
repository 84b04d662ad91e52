"""Reserved concurrency of functions, and what the account has (§5.2, §1.3.2)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from kubelambda.api import limits
from kubelambda.awsapi.account.account_limits import account_limits
from kubelambda.awsapi.api_error import invalid_parameter
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.function.function_configuration import LATEST
from kubelambda.awsapi.function.function_lookup import find, find_object, unqualified
from kubelambda.awsapi.function.function_writes import observed, write
from kubelambda.awsapi.version.provisioned_operations import requested_total
from kubelambda.awsapi.version.version_lookup import aliases_of, versions_of

TOTAL_CODE_SIZE: Final = 80_530_636_800
_FIELD: Final = "reservedConcurrentExecutions"


async def put_function_concurrency(services: Services, call: Call) -> Answer:
    """Reserves, unless too little would be left for the functions without a reservation."""
    name = unqualified(services, call)
    wanted: int = call.parameters["ReservedConcurrentExecutions"]
    before = await find_object(services, name)
    if before is None:  # recorded so of this operation alone
        raise replace(name, qualifier=LATEST).missing()
    provisioned = requested_total([*await versions_of(services, before), *await aliases_of(services, before)])
    if wanted < provisioned:
        raise invalid_parameter(
            f" ReservedConcurrentExecutions  {wanted} should not be lower than function's total provisioned "
            f"concurrency [{provisioned}]."
        )
    limits_now = await account_limits(services, name.account)
    others = limits_now.total.reserved - services.use.reserved_by(before)
    minimum = services.settings.unreserved_minimum
    if limits_now.quota - others - wanted < minimum and wanted > (before["spec"].get(_FIELD) or 0):
        raise invalid_parameter(
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
            f"below its minimum value of [{minimum}]."
        )
    after = await write(services, name, lambda body: {**body["spec"], _FIELD: wanted})
    await services.use.seen(await observed(services, name, after))
    return Answer({"ReservedConcurrentExecutions": wanted}, resource=name.arn)


async def get_function_concurrency(services: Services, call: Call) -> Answer:
    """What is reserved; nothing at all where nothing is."""
    name = unqualified(services, call)
    reserved = (await find(services, name))["spec"].get(_FIELD)
    return Answer({} if reserved is None else {"ReservedConcurrentExecutions": reserved}, resource=name.arn)


async def delete_function_concurrency(services: Services, call: Call) -> Answer:
    """Back to the unreserved concurrency of the account."""
    name = unqualified(services, call)
    after = await write(
        services, name, lambda body: {field: value for field, value in body["spec"].items() if field != _FIELD}
    )
    await services.use.seen(await observed(services, name, after))
    return Answer(None, resource=name.arn)


async def get_account_settings(services: Services, call: Call) -> Answer:
    """Limits of the account, and what its functions use of them."""
    found = await account_limits(services, call.caller)
    return Answer(
        {
            "AccountLimit": {
                "TotalCodeSize": TOTAL_CODE_SIZE,
                "CodeSizeUnzipped": limits.UNZIPPED_MAX_BYTES,
                "CodeSizeZipped": limits.ZIP_MAX_BYTES,
                "ConcurrentExecutions": found.quota,
                "UnreservedConcurrentExecutions": found.unreserved,
            },
            "AccountUsage": {"TotalCodeSize": found.total.code_size, "FunctionCount": found.total.functions},
        }
    )


OPERATIONS: Final[Mapping[str, Handler]] = {
    "PutFunctionConcurrency": put_function_concurrency,
    "GetFunctionConcurrency": get_function_concurrency,
    "DeleteFunctionConcurrency": delete_function_concurrency,
    "GetAccountSettings": get_account_settings,
}
