"""An identity provider of OAuth 2.0: gives tokens to a client that it knows, for a broker that knows its key."""

import base64
import ssl
import time
from typing import Any

from aiohttp import web
from joserfc import jwt
from tests.pollers.kafka_broker import AUDIENCE, USER, KafkaBroker

NAME, SECRET = "poller:1", "s%cret"
"""Of the client; both have characters that stand for others in a header."""


class IdentityProvider:
    """The stand-in of one, with TLS. Its tokens live for `lifetime_s`; `claims` are what they say beside the usual."""

    def __init__(self, broker: KafkaBroker) -> None:
        self.broker = broker
        self.asked: list[dict[str, Any]] = []
        """What it was asked for."""
        self.lifetime_s = 600.0
        self.claims: dict[str, Any] = {}
        self._runner = web.AppRunner(self._application())

    def secret(self, **changed: str) -> dict[str, str]:
        """The Secret of a mapping, but for what is `changed`."""
        known = {
            "oauthTokenEndpointUrl": self.url,
            "oauthClientId": NAME,
            "oauthClientSecret": SECRET,
            "oauthIdpCaCertificate": self.broker.authority,
        }
        return known | changed

    @property
    def url(self) -> str:
        """Its token endpoint."""
        return f"https://127.0.0.1:{self._runner.addresses[0][1]}/token"

    async def start(self) -> None:
        """Answers from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.broker.folder / "server.pem")
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()

    async def close(self) -> None:
        """Ends it."""
        await self._runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/token", self._give)
        application.router.add_post("/broken", self._break)
        return application

    async def _break(self, _: web.Request) -> web.Response:
        return web.Response(text="<html>", status=502)

    async def _give(self, request: web.Request) -> web.Response:
        self.asked.append(dict(await request.post()))
        who = base64.b64encode(b"poller%3A1:s%25cret").decode()
        if request.headers["Authorization"] != f"Basic {who}":
            refusal = {"error": "invalid_client", "error_description": "Nobody of that name"}
            return web.json_response(refusal, status=401)
        now = int(time.time())
        claims = {"sub": USER, "aud": AUDIENCE, "iat": now, "exp": now + 600, **self.claims}
        token = jwt.encode({"alg": "RS256", "kid": "tokens"}, claims, self.broker.token_key)
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime_s})
