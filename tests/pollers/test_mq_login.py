"""Who we are at a broker, out of the Secrets that a mapping names; and what is said when they do not say it."""

from base64 import b64encode
from typing import Any

import pytest

from kubelambda.core.mapping.mq_place import BrokerEngine, MqPlace
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.outbound.service_credentials import CredentialsMissing
from kubelambda.pollers.sources.mq_login import MqLogin, read_login

PLACE = MqPlace(BrokerEngine.RABBITMQ, "rabbit", 5671, True, "orders", login_secret="login", authority_secret="ca")
LOGIN = {"username": "poller", "password": "secret"}


class SecretsAlone(KubeClient):
    """An API server that has a namespace's Secrets and nothing else."""

    def __init__(self, **secrets: dict[str, str]) -> None:
        self._secrets = secrets

    async def find(self, *place: Any) -> Object | None:
        """A Secret as the API server has it."""
        found = self._secrets.get(place[1])
        return None if found is None else {"data": {key: b64encode(value.encode()) for key, value in found.items()}}


@pytest.mark.parametrize("key", ["certificate", "ca.crt"])
async def test_a_login_is_in_its_secrets(key: str) -> None:
    """And never in what is printed of it."""
    login = await read_login(SecretsAlone(login=LOGIN, ca={key: "PEM"}), "shop", PLACE)
    assert login == MqLogin("poller", "secret", "PEM")
    assert "secret" not in repr(login)


@pytest.mark.parametrize(
    ("secrets", "message"),
    [
        ({}, "there is no Secret login"),
        ({"login": {"username": "poller"}}, "Secret login has no key password"),
        ({"login": {}}, "Secret login has no key username and no key password"),
        ({"login": LOGIN}, "there is no Secret ca"),
        ({"login": LOGIN, "ca": {"tls.crt": "PEM"}}, "Secret ca has no key certificate and no key ca.crt"),
    ],
)
async def test_a_secret_that_says_nothing_is_told_of(secrets: dict[str, dict[str, str]], message: str) -> None:
    """With what is missing in it."""
    with pytest.raises(CredentialsMissing, match=message):
        await read_login(SecretsAlone(**secrets), "shop", PLACE)


@pytest.mark.parametrize("text", ["no certificate", "kein Zertifikat für uns"])
def test_an_authority_that_is_no_certificate_is_told_of(text: str) -> None:
    """With the Secret that was to have it."""
    with pytest.raises(CredentialsMissing, match="Secret ca has no certificate"):
        MqLogin("poller", "secret", text).tls(PLACE)
