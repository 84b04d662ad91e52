"""Tags of functions, of event source mappings and of code signing configurations (§1.1, §1.3)."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from kubelambda.awsapi.account.directory import AccountView
from kubelambda.awsapi.api_error import invalid_parameter, not_found, not_served
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.function.function_lookup import FunctionName, find, name_of
from kubelambda.awsapi.function.function_writes import observed
from kubelambda.awsapi.mapping.mapping_lookup import find_mapping
from kubelambda.awsapi.object_writes import write_spec
from kubelambda.awsapi.signing.signing_config_lookup import account_of_arn, find_config, missing
from kubelambda.awsapi.tag.tag_limits import check_tags
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import CODE_SIGNING_CONFIGS, EVENT_SOURCE_MAPPINGS, FUNCTIONS, Resource

_MAPPING: Final = "event-source-mapping"
_SIGNING_CONFIG: Final = "code-signing-config"


@dataclass(frozen=True, slots=True)
class _Tagged:
    """What has tags. `function` is None of what is no function."""

    arn: str
    resource: Resource
    read: Callable[[], Awaitable[Object]]
    function: FunctionName | None = None


async def list_tags(services: Services, call: Call) -> Answer:
    """All of them."""
    tagged = _tagged(services, call)
    return Answer({"Tags": _tags(await tagged.read())}, resource=tagged.arn)


async def tag_resource(services: Services, call: Call) -> Answer:
    """Adds tags, or gives them other values."""
    given: dict[str, str] = call.parameters["Tags"]
    if not given:
        raise invalid_parameter("An error occurred and the request cannot be processed.")

    def changed(tags: dict[str, str]) -> dict[str, str]:
        check_tags(given, tags)
        return tags | given

    return await _write(services, _tagged(services, call), changed)


async def untag_resource(services: Services, call: Call) -> Answer:
    """Takes tags away; those that are not there do no harm."""
    gone = call.parameters["TagKeys"]

    def changed(tags: dict[str, str]) -> dict[str, str]:
        return {key: value for key, value in tags.items() if key not in gone}

    return await _write(services, _tagged(services, call), changed)


async def _write(services: Services, tagged: _Tagged, change: Callable[[dict[str, str]], dict[str, str]]) -> Answer:
    def spec(body: Object) -> Mapping[str, object]:
        return {**body["spec"], "tags": change(_tags(body))}

    body = await write_spec(services, tagged.resource, tagged.arn, tagged.read, spec)
    if tagged.function is not None:
        await observed(services, tagged.function, body)
    return Answer(None, resource=tagged.arn)


def _tagged(services: Services, call: Call) -> _Tagged:
    arn: str = call.parameters["Resource"]
    kind = arn.split(":")[5]
    if kind == "function":
        name = name_of(services, call, arn)
        if name.qualifier is not None:
            text = "Tags on function aliases and versions are not supported. Please specify a function ARN."
            raise invalid_parameter(text)
        return _Tagged(name.arn, FUNCTIONS, lambda: find(services, name), name)
    if kind == _MAPPING:
        account, uuid = _owner(services, arn), arn.rpartition(":")[2]
        missing = f"Event source mapping not found: {arn}"
        return _Tagged(arn, EVENT_SOURCE_MAPPINGS, lambda: find_mapping(services, account, uuid, missing))
    if kind == _SIGNING_CONFIG:
        return _Tagged(arn, CODE_SIGNING_CONFIGS, lambda: _config(services, arn))
    raise not_served(f"{call.operation} of a {kind}")


async def _config(services: Services, arn: str) -> Object:
    body = await find_config(services, account_of_arn(services, arn), arn)
    if body is None:
        raise missing(arn)
    return body


def _owner(services: Services, arn: str) -> AccountView:
    """The account that an ARN is of. Raises `ApiError` when nothing of that account or region is here."""
    _, _, _, region, account, *_ = arn.split(":")
    found = services.accounts.by_id(account)
    if found is None or region != services.settings.region:
        raise not_found(f"Event source mapping not found: {arn}")
    return found


def _tags(body: Object) -> dict[str, str]:
    return dict(body["spec"].get("tags") or {})


OPERATIONS: Final[Mapping[str, Handler]] = {
    "ListTags": list_tags,
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
}
