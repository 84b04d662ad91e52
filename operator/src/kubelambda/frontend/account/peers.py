"""Short questions of one frontend to another, over connections that are kept."""

from kubelambda.core.environment.component_callers import CALLER, CallerRole, ComponentCallers, caller_proof
from kubelambda.wire.client import ClientConnection, request_head
from kubelambda.wire.kept_connections import Address, KeptConnections
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
        there = (address, self._port)
        kept = self._connections.take(there)
        if kept is not None:
            try:
                return await self._ask(kept, there, head, body, seconds)
            except ConnectionError:
                pass  # it was closed while we wrote on it
        return await self._ask(await self._connections.connect(there), there, head, body, seconds)

    async def _ask(
        self, connection: ClientConnection, there: Address, head: bytes, body: bytes, seconds: float
    ) -> bytes:
        status, _, answer = await connection.call(head, body, seconds=seconds)
        self._connections.keep(there, connection)
        if status != 200:
            raise OSError(f"it answered {status}")
        return answer

    def close(self) -> None:
        """Lets go of the connections that are kept."""
        self._connections.close()
