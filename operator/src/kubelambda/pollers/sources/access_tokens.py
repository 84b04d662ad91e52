"""Tokens that we log in to a cluster of Kafka with: OAuth 2.0, by the client credentials grant (§7.5.4)."""

import asyncio
import base64
import re
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, override
from urllib.parse import quote_plus

import aiohttp
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError
from pydantic import IPvAnyNetwork

from kubelambda.api.reasons import Reason
from kubelambda.core.mapping.kafka_place import TokenPlace
from kubelambda.kube.kube_client import KubeClient
from kubelambda.outbound.guarded_sockets import outside
from kubelambda.outbound.registry_session import UnreadableDocument, json_document, limited_body
from kubelambda.outbound.service_credentials import CredentialsMissing, read_secret
from kubelambda.pollers.sources.asked_endpoint import asking
from kubelambda.pollers.sources.kafka_login import LOGIN_REFUSED, NOT_CONNECTED
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable

_TIMEOUT: Final = aiohttp.ClientTimeout(total=15, connect=10)
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What a bearer token may be (RFC 6750): the protocol's own separators are none of it."""
_LIFETIME_S: Final = 300.0
"""Of a token whose giver does not say."""
_USED_SHARE: Final = 0.8
"""Of its lifetime a token is used for: a broker's clock may be another."""
_WORDS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class TokenClient:
    """Who we are at the identity provider."""

    endpoint: str
    name: str
    secret: str = field(repr=False)
    authority: str | None = None
    """Who may have signed the provider's certificate, PEM; those that everybody trusts unless given."""


async def read_token_client(client: KubeClient, namespace: str, secret: str) -> TokenClient:
    """What a Secret says of it, by the keys that Lambda's has. Raises `CredentialsMissing`."""
    data = await read_secret(client, namespace, secret)
    if data.get("oauthPrivateKey") or data.get("oauthClientEmail"):
        raise CredentialsMissing(
            f"Secret {secret} has a private key: assertions are not served, give oauthClientSecret"
        )
    wanted = ("oauthTokenEndpointUrl", "oauthClientId", "oauthClientSecret")
    missing = [key for key in wanted if not data.get(key)]
    if missing:
        raise CredentialsMissing(f"Secret {secret} has no key {' and no key '.join(missing)}")
    endpoint, name, password = (data[key] for key in wanted)
    if not endpoint.startswith("https://"):
        raise CredentialsMissing(f"oauthTokenEndpointUrl of Secret {secret} is no https://… address")
    return TokenClient(endpoint, name, password, data.get("oauthIdpCaCertificate") or None)


class AccessTokens(AbstractTokenProvider):  # type: ignore[misc]  # its package has no types
    """The token of a mapping, asked for anew before it is over."""

    def __init__(self, session: aiohttp.ClientSession, client: TokenClient, place: TokenPlace) -> None:
        self._session = session
        self._client = client
        self._place = place
        self._token = ""
        self._until = float("-inf")
        self._asking = asyncio.Lock()

    async def current(self) -> str:
        """A token that is good for now. Raises `SourceUnreachable`."""
        async with self._asking:
            if time.monotonic() >= self._until:
                asked = time.monotonic()
                answer = await self._answer()
                self._token = _token(answer)
                self._until = asked + _lifetime_s(answer) * _USED_SHARE
            return self._token

    @override
    async def token(self) -> str:
        """For the client of Kafka, in words that it expects of a connection that cannot be made."""
        try:
            return await self.current()
        except SourceUnreachable as error:
            raise KafkaConnectionError(str(error)) from error

    @override
    def extensions(self) -> dict[str, str]:
        """What brokers are told with it."""
        return dict(self._place.extensions)

    async def _answer(self) -> Mapping[str, Any]:
        who = f"{quote_plus(self._client.name)}:{quote_plus(self._client.secret)}"
        headers = {"Authorization": f"Basic {base64.b64encode(who.encode()).decode()}", "Accept": "application/json"}
        form = {"grant_type": "client_credentials", "scope": self._place.scope, "audience": self._place.audience}
        said = {name: value for name, value in form.items() if value is not None}
        url = self._client.endpoint
        with asking(
            certificate="the certificate of the token endpoint", refused=LOGIN_REFUSED, unreachable=_unreachable
        ):
            async with self._session.post(url, data=said, headers=headers, allow_redirects=False) as answer:
                try:
                    found = json_document(await limited_body(answer))
                except UnreadableDocument as error:
                    raise _unreachable(f"it answers {answer.status} with no JSON document") from error
        if answer.status in (400, 401, 403):
            words = " ".join(str(found[key]) for key in ("error", "error_description") if found.get(key))
            why = f"the token endpoint gives us no token: {words[:_WORDS_MAX] or answer.status}"
            raise SourceUnreachable(why, reason=Reason.SOURCE_AUTHENTICATION_FAILED, result=LOGIN_REFUSED)
        if answer.status != 200:
            raise _unreachable(f"it answers {answer.status}")
        return found


def _token(answer: Mapping[str, Any]) -> str:
    found = answer.get("access_token")
    if not isinstance(found, str) or not _TOKEN.fullmatch(found):
        raise _unreachable("its answer has no access_token")
    return found


def _lifetime_s(answer: Mapping[str, Any]) -> float:
    try:
        found = float(answer["expires_in"])
    except (KeyError, TypeError, ValueError):
        return _LIFETIME_S
    return found if found > 0 else _LIFETIME_S


def _unreachable(why: str) -> SourceUnreachable:
    return SourceUnreachable(f"the token endpoint cannot be asked: {why}", result=NOT_CONNECTED)


@asynccontextmanager
async def access_tokens(
    client: TokenClient, place: TokenPlace, refused: Sequence[IPvAnyNetwork] = ()
) -> AsyncIterator[AccessTokens]:
    """The tokens of a mapping, from an endpoint that is not in `refused`. Raises `SourceUnreachable`."""
    try:
        context = ssl.create_default_context(cadata=client.authority)
    except (ssl.SSLError, TypeError, ValueError) as error:  # a TypeError for what is no ASCII, such as DER
        why = f"oauthIdpCaCertificate in Secret {place.secret} is no certificate"
        raise SourceUnreachable(why, reason=Reason.SOURCE_AUTHENTICATION_FAILED, result=LOGIN_REFUSED) from error
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    connector = aiohttp.TCPConnector(limit=1, ssl=context, socket_factory=outside(refused))
    async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session:
        yield AccessTokens(session, client, place)
