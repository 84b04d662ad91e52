"""From a function as a caller names it to its object (§1.2)."""

from dataclasses import dataclass
from typing import Any

from kubelambda.awsapi.account.directory import AccountView
from kubelambda.awsapi.api_error import ApiError, invalid_parameter, not_found
from kubelambda.awsapi.call import Call, Services
from kubelambda.core.account import identity
from kubelambda.core.function.object_name import function_name_of, object_names
from kubelambda.kube.errors import Invalid, NotFound
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import FUNCTIONS

UNQUALIFIED_ONLY = (
    "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
    "Please specify either a function name or an unqualified function ARN."
)


@dataclass(frozen=True, slots=True)
class FunctionName:
    """A function in an account, as a caller named it."""

    account: AccountView
    region: str
    name: str
    qualifier: str | None

    @property
    def arn(self) -> str:
        """Unqualified."""
        return identity.function_arn(self.region, self.account.id, self.name)

    @property
    def qualified_arn(self) -> str:
        """With the qualifier, where one was given."""
        return identity.function_arn(self.region, self.account.id, self.name, self.qualifier)

    def missing(self) -> ApiError:
        """It does not exist."""
        return not_found(f"Function not found: {self.qualified_arn}")


def name_of(services: Services, call: Call, text: str | None = None) -> FunctionName:
    """The function that `FunctionName` (or `text`) and `Qualifier` name. Raises `ApiError`."""
    given = call.parameters["FunctionName"] if text is None else text
    region = services.settings.region
    found = identity.parse_reference(given)
    if found is None:
        raise not_found(f"Function not found: {identity.function_arn(region, call.caller.id, given)}")
    if found.region is not None and found.region != region:
        raise not_found(f"Functions from '{found.region}' are not reachable in this region ('{region}')")
    qualifier = call.parameters.get("Qualifier")
    if qualifier is not None and found.qualifier is not None and qualifier != found.qualifier:
        raise invalid_parameter("The derived qualifier from the function name does not match the specified qualifier.")
    account = services.accounts.by_id(found.account) if found.account else call.caller
    if account is None:
        account = AccountView("", found.account or "", None)
    return FunctionName(account, region, found.name, qualifier or found.qualifier)


def unqualified(services: Services, call: Call) -> FunctionName:
    """As `name_of`, for operations on whole functions."""
    found = name_of(services, call)
    if found.qualifier is not None:
        raise invalid_parameter(UNQUALIFIED_ONLY)
    return found


async def find(services: Services, name: FunctionName) -> Object:
    """The Function object, as the API server has it now. Raises `ApiError` when there is none."""
    found = await find_object(services, name)
    if found is None:
        raise name.missing()
    return found


async def find_object(services: Services, name: FunctionName) -> Object | None:
    """The Function object under any of the names that it can have, or whose spec says that it is the one."""
    namespace = name.account.namespace
    if not namespace:  # an account that nobody has
        return None
    for candidate in object_names(name.name):
        try:
            body = await services.client.get(FUNCTIONS, candidate, namespace)
        except NotFound:
            continue
        if function_name_of(body) == name.name and not _going(body):
            return body
    try:
        selector = f"spec.functionName={name.name}"
        items, _ = await services.client.page(FUNCTIONS, namespace, limit=2, field_selector=selector)
    except Invalid:  # an API server before 1.31 selects custom resources by their own names only
        return None
    return next((body for body in items if not _going(body)), None)


def _going(body: dict[str, Any]) -> bool:
    return "deletionTimestamp" in body["metadata"]
