"""HTTP of aiobotocore's clients: all with the same authorities, as each loaded them for itself, and bounded answers."""

import ssl
from functools import cache
from typing import Any, Final

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession

ANSWER_MAX_BYTES: Final = 32 << 20
"""Of what is read whole. The largest that a service gives has 10 MB of records, as text: a server of somebody's own may
send without end, to a process that works for others too."""


@cache
def _verified(authorities: bool | str) -> ssl.SSLContext:
    """What every client makes for itself that has no certificate of its own. `authorities`: a file, or the usual."""
    made: ssl.SSLContext = AIOHTTPSession(verify=authorities)._build_verify_context()  # noqa: SLF001 - as its own would
    return made


class TlsSession(AIOHTTPSession):  # type: ignore[misc] # it comes without types
    """Shares what says who may be at the other end. Behind a proxy a client changes it, and has its own."""

    async def send(self, request: Any) -> Any:
        """One request. Raises what its client does, and `aiohttp.ClientPayloadError` for more than may be read."""
        whole, request.stream_output = not request.stream_output, True
        answer = await super().send(request)
        if whole:
            request.stream_output = False
            answer._content = await _bounded(answer.raw)  # noqa: SLF001 - where it keeps what it has read
        return answer

    def _build_ssl_contexts(self, proxy_url: str | None) -> Any:
        if self._verify and not self._cert_file and not proxy_url:
            return _verified(self._verify), None
        return super()._build_ssl_contexts(proxy_url)


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    found = bytearray()
    async for piece in response.content.iter_any():
        found += piece
        if len(found) > ANSWER_MAX_BYTES:
            response.close()
            raise aiohttp.ClientPayloadError(f"its answer has more than {ANSWER_MAX_BYTES >> 20} MB")
    return bytes(found)
