"""Whose account a request is for (DESIGN §10)."""

from kubelambda.api.settings import Settings
from kubelambda.frontend.account.forwarder import NAMESPACE
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.wire.request import Request


class RequestAccounts:
    """Accounts by what requests name: an id in the ARN, the caller's own namespace, or the host; else the default."""

    def __init__(self, caches: Caches, settings: Settings) -> None:
        self._caches = caches
        self._default = settings.default_namespace
        self._host_end = f".{settings.endpoint_domain}" if settings.endpoint_domain is not None else None

    def namespace(self, account: str | None, request: Request) -> str:
        """The namespace of the function that a request names, `account` as its ARN has it; empty for one unknown."""
        if account is not None:
            return self._caches.namespace_of(account) or ""
        named = request.headers.get(NAMESPACE)
        if named is not None:
            return named.decode(errors="replace")
        if self._host_end is not None:
            host = request.headers.get(b"host", b"").decode(errors="replace").partition(":")[0]
            if host.endswith(self._host_end):
                return host.removesuffix(self._host_end)
        return self._default
