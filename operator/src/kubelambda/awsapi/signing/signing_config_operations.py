"""CreateCodeSigningConfig, Get, Update, Delete and List, and the functions that have one (§1.1, §1.5.4)."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final

from kubelambda.awsapi.account.account_use import signing_of
from kubelambda.awsapi.account.directory import AccountView
from kubelambda.awsapi.api_error import conflict, unavailable
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.function.spec_changes import renamed
from kubelambda.awsapi.object_writes import WRITE, delete, write_spec
from kubelambda.awsapi.refusal import refusal
from kubelambda.awsapi.signing.signing_config_lookup import (
    arn_of,
    config_members,
    configs_of,
    find_config,
    missing,
    named_config,
)
from kubelambda.awsapi.tag.tag_limits import check_tags
from kubelambda.awsapi.version.version_operations import page_of
from kubelambda.core.account import identity
from kubelambda.core.code.code_signing_arn import code_signing_config_id
from kubelambda.core.code.signing_objects import chosen_config, signing_config_facts
from kubelambda.kube.errors import KubeError
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import CODE_SIGNING_CONFIGS, FUNCTIONS

PAGE_MAX: Final = 50
_PAGE: Final = 250
_MEMBERS: Final = {
    "Description": "description",
    "AllowedPublishers": "allowedPublishers",
    "CodeSigningPolicies": "codeSigningPolicies",
}


async def create_code_signing_config(services: Services, call: Call) -> Answer:
    """Another one, under an id of its own, which is also the object's name."""
    config_id = code_signing_config_id("", str(uuid.uuid4()))
    spec = _given(call)
    if call.parameters.get("Tags"):
        check_tags(call.parameters["Tags"])
        spec["tags"] = call.parameters["Tags"]
    manifest = {
        "apiVersion": CODE_SIGNING_CONFIGS.api_version,
        "kind": CODE_SIGNING_CONFIGS.kind,
        "metadata": {"name": config_id, "namespace": call.caller.namespace},
        "spec": spec,
    }
    try:
        body = await services.client.create(CODE_SIGNING_CONFIGS, manifest, call.caller.namespace, query=WRITE)
    except KubeError as error:
        raise refusal(error) from error
    return _answer(services, call.caller, body)


async def get_code_signing_config(services: Services, call: Call) -> Answer:
    """One of them."""
    return _answer(services, *await named_config(services, call))


async def update_code_signing_config(services: Services, call: Call) -> Answer:
    """What the call does not name stays. The next code of its functions is the first that it concerns."""
    account, _ = await named_config(services, call)
    arn: str = call.parameters["CodeSigningConfigArn"]

    async def read() -> Object:
        body = await find_config(services, account, arn)
        if body is None:
            raise missing(arn)
        return body

    body = await write_spec(
        services, CODE_SIGNING_CONFIGS, arn, read, lambda before: {**before["spec"], **_given(call)}
    )
    return _answer(services, account, body)


async def delete_code_signing_config(services: Services, call: Call) -> Answer:
    """One that no function has. One whose function comes in this moment is held by its finalizer."""
    account, body = await named_config(services, call)
    arn: str = call.parameters["CodeSigningConfigArn"]
    users = await _users(services, account, body) or await _users_now(services, account, body)
    if users:
        text = "The code signing configuration cannot be deleted while functions use it"
        raise conflict(f"{text}: {arn} is the one of {', '.join(users[:5])}{' …' if len(users) > 5 else ''}")
    await delete(services, CODE_SIGNING_CONFIGS, body)
    return Answer(None, resource=arn)


async def list_code_signing_configs(services: Services, call: Call) -> Answer:
    """All of the caller's account, a page at a time."""
    found = [config_members(services, call.caller, body) for body in await configs_of(services, call.caller)]
    return Answer(page_of(call, "CodeSigningConfigs", found, PAGE_MAX))


async def list_functions_by_code_signing_config(services: Services, call: Call) -> Answer:
    """ARNs of the functions that have one."""
    account, body = await named_config(services, call)
    region = services.settings.region
    found = [identity.function_arn(region, account.id, name) for name in await _users(services, account, body)]
    return Answer(page_of(call, "FunctionArns", found, PAGE_MAX), resource=call.parameters["CodeSigningConfigArn"])


async def _users(services: Services, account: AccountView, body: Object) -> list[str]:
    """Names of the functions that have a configuration, as far as was heard."""
    try:
        known = await services.use.signed(account.namespace)
    except TimeoutError as error:
        raise unavailable("The functions of the account are still being read.") from error
    return _naming(services, account, body, known)


async def _users_now(services: Services, account: AccountView, body: Object) -> list[str]:
    """The same as the API server knows it, for which all functions of the account are read."""
    functions = services.client.each(FUNCTIONS, account.namespace, first=_PAGE)
    known = [signing async for function in functions if (signing := signing_of(function)) is not None]
    return _naming(services, account, body, known)


def _naming(services: Services, account: AccountView, body: Object, known: Iterable[tuple[str, str]]) -> list[str]:
    itself, region = [(body["metadata"]["name"], signing_config_facts(body))], services.settings.region
    return sorted(name for name, reference in known if chosen_config(reference, itself, region, account.id) is not None)


def _given(call: Call) -> dict[str, Any]:
    return {ours: renamed(call.parameters[theirs]) for theirs, ours in _MEMBERS.items() if theirs in call.parameters}


def _answer(services: Services, account: AccountView, body: Object) -> Answer:
    members = config_members(services, account, body)
    return Answer({"CodeSigningConfig": members}, resource=arn_of(services, account, body))


OPERATIONS: Final[Mapping[str, Handler]] = {
    "CreateCodeSigningConfig": create_code_signing_config,
    "GetCodeSigningConfig": get_code_signing_config,
    "UpdateCodeSigningConfig": update_code_signing_config,
    "DeleteCodeSigningConfig": delete_code_signing_config,
    "ListCodeSigningConfigs": list_code_signing_configs,
    "ListFunctionsByCodeSigningConfig": list_functions_by_code_signing_config,
}
