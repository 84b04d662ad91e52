"""From code signing configurations as callers and functions name them to their objects (§1.2.5)."""

from collections.abc import Mapping
from typing import Any, Final

from kubelambda.awsapi.account.directory import AccountView
from kubelambda.awsapi.api_error import ApiError, not_found
from kubelambda.awsapi.call import Call, Services
from kubelambda.awsapi.object_writes import last_written
from kubelambda.core.code.code_signing_arn import code_signing_config_arn, code_signing_config_id, id_of_reference
from kubelambda.core.code.code_trust import SigningPolicy
from kubelambda.core.code.signing_objects import not_found_text, profile_versions, signing_config_facts
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import CODE_SIGNING_CONFIGS, SIGNING_PROFILES

_PAGE: Final = 500
_ACCOUNT: Final = 4
"""Which part of an ARN it is."""


def missing(arn: str) -> ApiError:
    """It does not exist."""
    return not_found(f"The Lambda code signing configuration {arn} can not be found.")


def not_to_be_used(reference: str) -> ApiError:
    """A function names one that does not exist (Appendix A)."""
    return ApiError("CodeSigningConfigNotFoundException", not_found_text(reference))


def account_of_arn(services: Services, arn: str) -> AccountView:
    """The account that a configuration is of; one without a namespace where nobody has it."""
    account = arn.split(":")[_ACCOUNT]
    return services.accounts.by_id(account) or AccountView("", account, None)


async def named_config(services: Services, call: Call) -> tuple[AccountView, Object]:
    """The configuration that `CodeSigningConfigArn` is. Raises `ApiError`."""
    arn: str = call.parameters["CodeSigningConfigArn"]
    account = account_of_arn(services, arn)
    body = await find_config(services, account, arn)
    if body is None:
        raise missing(arn)
    return account, body


async def find_config(services: Services, account: AccountView, reference: str) -> Object | None:
    """The object that a name or an ARN of the account names. One that is going is gone."""
    wanted = id_of_reference(reference, services.settings.region, account.id)
    if not account.namespace or wanted == "":
        return None
    body = await services.client.find(CODE_SIGNING_CONFIGS, reference if wanted is None else wanted, account.namespace)
    if body is None and wanted:
        found = (each for each in await configs_of(services, account) if _id_of(each) == wanted)
        body = next(found, None)
    return None if body is None or "deletionTimestamp" in body["metadata"] else body


async def configs_of(services: Services, account: AccountView) -> list[Object]:
    """All of an account, by id."""
    known = services.client.each(CODE_SIGNING_CONFIGS, account.namespace, first=_PAGE)
    return sorted([body async for body in known if "deletionTimestamp" not in body["metadata"]], key=_id_of)


async def policy_of(services: Services, account: AccountView, reference: str) -> SigningPolicy:
    """What a function's configuration asks for, with the keys of the account. Raises `ApiError`."""
    body = await find_config(services, account, reference)
    if body is None:
        raise not_to_be_used(reference)
    known = services.client.each(SIGNING_PROFILES, account.namespace, first=_PAGE)
    versions = [version async for profile in known for version in profile_versions(profile)]
    return signing_config_facts(body).policy(services.settings.region, account.id, versions)


def arn_of(services: Services, account: AccountView, body: Object) -> str:
    """ARN of an object."""
    return code_signing_config_arn(services.settings.region, account.id, _id_of(body))


def config_members(services: Services, account: AccountView, body: Object) -> dict[str, Any]:
    """A CodeSigningConfig as Lambda writes it."""
    spec = body["spec"]
    policies: Mapping[str, Any] = spec.get("codeSigningPolicies") or {}
    found = {
        "CodeSigningConfigId": _id_of(body),
        "CodeSigningConfigArn": arn_of(services, account, body),
        "Description": spec.get("description") or None,
        "AllowedPublishers": {"SigningProfileVersionArns": spec["allowedPublishers"]["signingProfileVersionArns"]},
        "CodeSigningPolicies": {
            "UntrustedArtifactOnDeployment": policies.get("untrustedArtifactOnDeployment", "Warn"),
        },
        "LastModified": last_written(body).removesuffix("Z") + ".000+0000",
    }
    return {member: value for member, value in found.items() if value is not None}


def _id_of(body: Object) -> str:
    return code_signing_config_id(body["metadata"]["name"], body["metadata"]["uid"])
