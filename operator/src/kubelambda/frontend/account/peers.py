"""Short questions of one frontend to another, over connections that are kept."""

from kubelambda.core.environment.component_callers import CALLER, CallerRole, ComponentCallers, caller_proof
from kubelambda.wire.header_lines import request_head
from kubelambda.wire.kept_connections import KeptConnections
from kubelambda.wire.request import Request

_CONNECT_S = 0.5
_CALLER = CALLER.encode()


class Peers:
    """The other frontends, which serve on `port` as this one does."""

    def __init__(self, port: int, key: bytes, *, idle_seconds: float) -> None:
        self._port = port
        self._headers = {CALLER: caller_proof(key, CallerRole.FRONTEND)}
        self._callers = ComponentCallers(key)
        self._connections = KeptConnections(idle_s=idle_seconds, connect_s=_CONNECT_S)

    def is_one(self, request: Request) -> bool:
        """Whether a request is from another frontend."""
        return self._callers.role(request.headers.get(_CALLER)) is CallerRole.FRONTEND

    async def call(self, address: str, path: bytes, body: bytes, seconds: float) -> bytes:
        """The body of the answer to a POST that may be sent twice. Raises `OSError` or `TimeoutError`."""
        head = request_head("POST", path.decode(), address, self._headers, len(body))
        status, _, answer = await self._connections.call((address, self._port), head, body, seconds=seconds)
        if status != 200:
            raise OSError(f"it answered {status}")
        return answer

    def close(self) -> None:
        """Lets go of the connections that are kept."""
        self._connections.close()
