"""Where outcomes of events may go: Lambda's checks of a destination configuration (§6.5, §6.7)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from kubelambda.awsapi.api_error import ApiError, invalid_parameter
from kubelambda.awsapi.call import Services
from kubelambda.awsapi.function.function_lookup import FunctionName, find_object
from kubelambda.core.account import identity

ENDS: Final = {"OnSuccess": "onSuccess", "OnFailure": "onFailure"}
_SERVICES: Final = frozenset({"lambda", "sqs", "sns", "events", "s3"})


def destinations_of(given: Mapping[str, Any]) -> dict[str, str | None]:
    """Destinations of a DestinationConfig, by field of our kind."""
    return {ours: (given.get(theirs) or {}).get("Destination") or None for theirs, ours in ENDS.items()}


async def check_destinations(services: Services, name: FunctionName, given: Mapping[str, Any]) -> None:
    """Refuses what no event can be sent to. Raises `ApiError`."""
    ends = destinations_of(given)
    for end, arn in ends.items():
        if arn is None:
            continue
        service = arn.split(":")[2] if arn.count(":") > 4 else ""
        if service not in _SERVICES or (service == "s3" and end != "onFailure"):
            raise _invalid(ends)
        if arn in (name.arn, f"{name.arn}:$LATEST"):
            raise invalid_parameter("You can't specify the function as a destination for itself.")
        if service == "lambda":
            await _check_function(services, name, arn)


async def _check_function(services: Services, name: FunctionName, arn: str) -> None:
    found = identity.parse_reference(arn)
    ours = found is not None and (found.account, found.region) == (name.account.id, name.region)
    if found is None or not ours or await find_object(services, replace(name, name=found.name)) is None:
        raise invalid_parameter(f"The destination ARN {arn} is invalid.")


def _invalid(ends: Mapping[str, str | None]) -> ApiError:
    shown = ", ".join(
        f"{end}={'null' if arn is None else f'{end[0].upper()}{end[1:]}(destination={arn})'}"
        for end, arn in ends.items()
    )
    return invalid_parameter(f"The provided destination config DestinationConfig({shown}) is invalid.")
