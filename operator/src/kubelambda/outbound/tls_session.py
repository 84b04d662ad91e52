"""HTTP of aiobotocore's clients, all with the same authorities: each client loaded them all for itself."""

import ssl
from functools import cache
from typing import Any

from aiobotocore.httpsession import AIOHTTPSession


@cache
def _verified(authorities: bool | str) -> ssl.SSLContext:
    """What every client makes for itself that has no certificate of its own. `authorities`: a file, or the usual."""
    made: ssl.SSLContext = AIOHTTPSession(verify=authorities)._build_verify_context()  # noqa: SLF001 - as its own would
    return made


class TlsSession(AIOHTTPSession):  # type: ignore[misc] # it comes without types
    """Shares what says who may be at the other end. Behind a proxy a client changes it, and has its own."""

    def _build_ssl_contexts(self, proxy_url: str | None) -> Any:
        if self._verify and not self._cert_file and not proxy_url:
            return _verified(self._verify), None
        return super()._build_ssl_contexts(proxy_url)
