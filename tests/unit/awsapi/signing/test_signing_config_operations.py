"""What guards a code signing configuration from being deleted."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from kubelambda.awsapi.account.directory import AccountView
from kubelambda.awsapi.api_error import ApiError
from kubelambda.awsapi.api_settings import ApiSettings
from kubelambda.awsapi.call import Call, Services
from kubelambda.awsapi.signing.signing_config_operations import delete_code_signing_config
from kubelambda.core.code.code_signing_arn import code_signing_config_arn
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import CODE_SIGNING_CONFIGS, Resource

ACCOUNT = AccountView("a", "123456789012", None)
NOTHING = cast("Any", None)
ID = "csc-0123456789abcdef0"
ARN = code_signing_config_arn("us-east-1", ACCOUNT.id, ID)


class Cluster:
    """In the place of a client, of the accounts, and of what was heard of functions: of none yet."""

    def __init__(self, *functions: Object) -> None:
        self.functions = functions
        self.deleted: list[str] = []

    def by_id(self, _: str) -> AccountView:
        """The one that there is."""
        return ACCOUNT

    async def signed(self, _: str) -> list[tuple[str, str]]:
        """No event has shown any."""
        return []

    async def find(self, resource: Resource, name: str, namespace: str) -> Object:
        """The configuration."""
        assert (resource, name, namespace) == (CODE_SIGNING_CONFIGS, ID, "a")
        spec: Object = {"allowedPublishers": {"signingProfileVersionArns": []}}
        return {"metadata": {"name": ID, "uid": "u", "namespace": "a"}, "spec": spec}

    async def each(self, *_: object, **__: object) -> AsyncIterator[Object]:
        """Every function."""
        for function in self.functions:
            yield function

    async def delete(self, _: Resource, name: str, __: str) -> None:
        """It goes."""
        self.deleted.append(name)


def function(name: str, **spec: Any) -> Object:
    """As the API server has it."""
    return {"metadata": {"name": name}, "spec": spec}


async def delete(cluster: Cluster) -> None:
    """What a caller asks for."""
    found = cast("Any", cluster)
    services = Services(found, NOTHING, NOTHING, ApiSettings(), found, NOTHING, found)
    await delete_code_signing_config(services, Call("", {"CodeSigningConfigArn": ARN}, ACCOUNT, "", ""))


async def test_a_configuration_of_a_function_that_was_made_a_moment_ago_is_not_deleted() -> None:
    """Nobody has heard of the function yet: it is asked for."""
    cluster = Cluster(function("plain"), function("new", codeSigningConfigArn=ARN))
    with pytest.raises(ApiError, match="is the one of new"):
        await delete(cluster)
    assert cluster.deleted == []


async def test_a_configuration_that_no_function_has_is_deleted() -> None:
    """Whatever else functions have."""
    cluster = Cluster(function("plain"), function("other", codeSigningConfigArn=ARN.replace(ID, "csc-other")))
    await delete(cluster)
    assert cluster.deleted == [ID]
