"""Stands in for a schema registry: no real one can be had as a package. Confluent's own client registers at it.

It keeps schemas by number and by subject, and answers as the protocol says; it judges none.
"""

import ssl
from base64 import b64encode
from typing import Any

from aiohttp import web


class SchemaServer:
    """A registry on a port of its own. With `user` it wants to know who asks."""

    def __init__(self, user: tuple[str, str] | None = None) -> None:
        self.url = ""
        self.asked: list[str] = []
        """Paths, in the order in which they were asked for."""
        self.broken = False
        """Whether it answers with an error of its own."""
        self._user = user
        self._schemas: list[dict[str, Any]] = []
        self._subjects: dict[str, list[int]] = {}
        self._runner: web.AppRunner

    async def start(self, context: ssl.SSLContext | None = None) -> None:
        """Listens."""
        application = web.Application(middlewares=[self._judge])
        application.router.add_post("/subjects/{subject}/versions", self._register)
        application.router.add_get("/subjects/{subject}/versions/{version}", self._version)
        application.router.add_get("/schemas/ids/{number}", self._by_number)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        """Ends."""
        await self._runner.cleanup()

    def add(self, subject: str, schema: dict[str, Any]) -> int:
        """Registers a schema; its number."""
        if schema not in self._schemas:
            self._schemas.append(schema)
        number = self._schemas.index(schema) + 1
        self._subjects.setdefault(subject, []).append(number)
        return number

    @web.middleware
    async def _judge(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        if self.broken:
            return web.Response(status=502, text="a gateway's page")
        given = request.headers.get("Authorization", "")
        if self._user and given != "Basic " + b64encode(":".join(self._user).encode()).decode():
            return web.json_response({"error_code": 401, "message": "Unauthorized"}, status=401)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _register(self, request: web.Request) -> web.Response:
        number = self.add(request.match_info["subject"], await request.json())
        return web.json_response({"id": number})

    async def _version(self, request: web.Request) -> web.Response:
        subject, version = request.match_info["subject"], int(request.match_info["version"])
        known = self._subjects.get(subject, [])
        if not 0 < version <= len(known):
            return web.json_response({"error_code": 40402, "message": "Version not found."}, status=404)
        number = known[version - 1]
        return web.json_response({**self._schemas[number - 1], "subject": subject, "version": version, "id": number})

    async def _by_number(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        if not 0 < number <= len(self._schemas):
            return web.json_response({"error_code": 40403, "message": "Schema not found"}, status=404)
        return web.json_response(self._schemas[number - 1])
