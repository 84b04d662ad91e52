"""Tags of functions (§1.1, §1.3)."""

from collections.abc import Mapping
from typing import Any, Final

from kubelambda.awsapi.api_error import invalid_parameter
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.function.function_lookup import FunctionName, find, name_of
from kubelambda.awsapi.function.function_writes import observed, write
from kubelambda.kube.kube_client import Object

TAGS_MAX: Final = 50


async def list_tags(services: Services, call: Call) -> Answer:
    """All of them."""
    name = _resource(services, call)
    return Answer({"Tags": _tags(await find(services, name))}, resource=name.arn)


async def tag_resource(services: Services, call: Call) -> Answer:
    """Adds tags, or gives them other values."""
    name = _resource(services, call)

    def spec(body: Object) -> Mapping[str, Any]:
        tags = _tags(body) | call.parameters["Tags"]
        check(tags)
        return {**body["spec"], "tags": tags}

    await observed(services, name, await write(services, name, spec))
    return Answer(None, resource=name.arn)


async def untag_resource(services: Services, call: Call) -> Answer:
    """Takes tags away; those that are not there do no harm."""
    name = _resource(services, call)

    def spec(body: Object) -> Mapping[str, Any]:
        gone = call.parameters["TagKeys"]
        return {**body["spec"], "tags": {key: value for key, value in _tags(body).items() if key not in gone}}

    await observed(services, name, await write(services, name, spec))
    return Answer(None, resource=name.arn)


def check(tags: Mapping[str, str]) -> None:
    """Refuses more tags than Lambda allows."""
    if len(tags) > TAGS_MAX:
        raise invalid_parameter("Number of tags exceeds resource tag limit.")


def _resource(services: Services, call: Call) -> FunctionName:
    name = name_of(services, call, call.parameters["Resource"])
    if name.qualifier is not None:
        text = "Tags on function aliases and versions are not supported. Please specify a function ARN."
        raise invalid_parameter(text)
    return name


def _tags(body: Object) -> dict[str, str]:
    return dict(body["spec"].get("tags") or {})


OPERATIONS: Final[Mapping[str, Handler]] = {
    "ListTags": list_tags,
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
}
