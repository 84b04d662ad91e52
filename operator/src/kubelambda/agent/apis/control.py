"""The control API, for frontends only (`docs/environment-protocol.md`)."""

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from typing import Any

from kubelambda.agent.process.configuration import Unusable
from kubelambda.agent.sandbox.archives import NotFetched
from kubelambda.agent.sandbox.held_layers import Occupied
from kubelambda.agent.sandbox.sandbox import Sandbox
from kubelambda.api import environment_protocol, limits
from kubelambda.api.environment_protocol import UnusableMessage
from kubelambda.wire.server import Request

_HEALTH = environment_protocol.HEALTH.encode()
_CLAIMABLE = environment_protocol.CLAIMABLE.encode()
_SPECIALIZE = environment_protocol.SPECIALIZE.encode()
_PREPARE = environment_protocol.PREPARE.encode()
_BEGIN = environment_protocol.BEGIN.encode()
_INVOKE = environment_protocol.INVOKE.encode()
_HOLD = environment_protocol.HOLD.encode()
_STATE = environment_protocol.STATE.encode()
_CONFIG_LENGTH = environment_protocol.CONFIG_LENGTH.lower().encode()
_REQUEST_ID_FIELD = environment_protocol.REQUEST_ID.lower().encode()
_TERM = environment_protocol.TERM.lower().encode()
_JSON = b"Content-Type: application/json\r\n"
_EVENT_MAX_BYTES = limits.SYNC_REQUEST_MAX_BYTES
_LAYERS_MAX_BYTES = 65_536
_SPECIALIZATION_MAX_BYTES = limits.ZIP_MAX_BYTES + limits.HEADERS_MAX_BYTES
_PREFER_WAIT = re.compile(rb"wait=(\d{1,3})")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9-]{1,64}")


class Control:
    """Serves frontends."""

    def __init__(self, sandbox: Sandbox, pool_token_sha256: str, obstacle: Callable[[], str] = lambda: "") -> None:
        """`obstacle`: why no function may be handed over yet, empty when one may."""
        self._sandbox = sandbox
        self._obstacle = obstacle
        self._pool_token_sha256 = pool_token_sha256
        self._authorization = b""
        self._term = b""

    def admit(self, request: Request) -> int | None:
        """How large the body may be; None when the head alone is refused: nothing of strangers is kept."""
        if request.method == b"POST" and request.target == _INVOKE:
            if not self._authorization:
                _reply(request, 409, {"message": "the environment is not specialized"})
                return None
            if hmac.compare_digest(request.headers.get(b"authorization", b""), self._authorization):
                request.connection.lasting = True
                return _EVENT_MAX_BYTES
            request.respond(401)
            return None
        if request.method == b"POST" and request.target in (_SPECIALIZE, _PREPARE, _HOLD):
            if self._knows_pool_token(request):
                request.connection.lasting = True
                return _LAYERS_MAX_BYTES if request.target == _HOLD else _SPECIALIZATION_MAX_BYTES
            request.respond(401)
            return None
        return 0

    def serve(self, request: Request) -> None:
        """Answers one request that was admitted."""
        if request.target == _INVOKE and request.method == b"POST":
            self._invoke(request)
        elif request.target == _HEALTH:
            busy = self._sandbox.draining
            request.respond(503 if busy else 200, b"draining" if busy else b"ok")
        elif request.target == _CLAIMABLE:
            why = "draining" if self._sandbox.draining else self._obstacle()
            request.respond(503 if why else 200, why.encode() or b"ok")
        elif request.target == b"/initialized":
            ready = self._sandbox.initialized
            request.respond(200 if ready else 503, b"ok" if ready else b"not initialized, or not any more")
        elif request.target in (_SPECIALIZE, _PREPARE) and request.method == b"POST":
            self._specialize(request)
        elif request.target == _BEGIN and request.method == b"POST":
            self._begin(request)
        elif request.target == _STATE:
            self._state(request)
        elif request.target == _HOLD and request.method == b"POST":
            self._hold(request)
        else:
            request.respond(404)

    def _invoke(self, request: Request) -> None:
        request_id = request.headers.get(_REQUEST_ID_FIELD, b"")
        if not _REQUEST_ID.fullmatch(request_id):
            _reply(request, 400, {"message": "X-Amzn-RequestId is missing or malformed"})
        elif request.size > _EVENT_MAX_BYTES:
            _reply(request, 413, {"message": "the event is too large"})
        elif request.headers.get(_TERM, self._term) != self._term:
            _reply(request, 409, {"message": "the lease is of an earlier owner"})
        elif not self._sandbox.invoke(request, request_id):
            _reply(request, 409, {"message": "the environment is busy, finished or draining"})

    def _specialize(self, request: Request) -> None:
        if request.size > _SPECIALIZATION_MAX_BYTES:
            _reply(request, 413, {"message": "the archive is too large"})
            return
        try:
            length = int(request.headers.get(_CONFIG_LENGTH, b"0"))
            wanted = environment_protocol.parse_specialization(request.body[:length])
            if not self._sandbox.claim(wanted):
                _reply(request, 409, {"message": "the environment is specialized already, or draining"})
                return
            self._authorization = f"Bearer {wanted.token}".encode()
            self._term = request.headers.get(_TERM, b"")
            self._sandbox.prepare(request.body[length:])
            if request.target == _PREPARE:
                _reply(request, 200, {"status": "preparing"})
            else:
                self._sandbox.begin(lambda outcome: _specialized(request, outcome))
        except (UnusableMessage, Unusable, ValueError) as error:
            _specialized(request, error)

    def _begin(self, request: Request) -> None:
        if not self._knows_token(request):
            request.respond(401)
        elif not self._sandbox.begin(lambda outcome: _specialized(request, outcome)):
            _reply(request, 409, {"message": "no function waits to begin"})

    def _hold(self, request: Request) -> None:
        if request.size > _LAYERS_MAX_BYTES:
            _reply(request, 413, {"message": "the message is too large"})
        elif self._sandbox.specialized or self._sandbox.draining:
            _reply(request, 409, {"message": "the environment is specialized already, or draining"})
        else:
            try:
                layers = environment_protocol.parse_layers(request.body)
            except UnusableMessage as error:
                _refuse(request, error)
                return
            self._sandbox.layers.hold(layers, lambda error: _held(request, error))

    def _state(self, request: Request) -> None:
        if not self._knows_token(request) and (self._authorization or not self._knows_pool_token(request)):
            request.respond(401)
            return
        request.connection.lasting = True
        self._term = request.headers.get(_TERM, self._term)
        preferred = _PREFER_WAIT.fullmatch(request.headers.get(b"prefer", b""))
        seconds = int(preferred[1]) if preferred else 0
        self._sandbox.when_idle(seconds, lambda: request.respond(200, self._sandbox.status().encode(), _JSON))

    def _knows_token(self, request: Request) -> bool:
        given = request.headers.get(b"authorization", b"")
        return bool(self._authorization) and hmac.compare_digest(given, self._authorization)

    def _knows_pool_token(self, request: Request) -> bool:
        token = request.headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        return hmac.compare_digest(hashlib.sha256(token).hexdigest(), self._pool_token_sha256)


def _specialized(request: Request, outcome: dict[str, Any] | Exception) -> None:
    if isinstance(outcome, Exception):
        _refuse(request, outcome)
    else:
        _reply(request, 200, outcome)


def _held(request: Request, error: Exception | None) -> None:
    if error is not None:
        _refuse(request, error)
    else:
        _reply(request, 200, {"status": "held"})


def _refuse(request: Request, error: Exception) -> None:
    status = 409 if isinstance(error, Occupied) else 502 if isinstance(error, NotFetched) else 400
    _reply(request, status, {"message": str(error)})


def _reply(request: Request, status: int, body: dict[str, Any]) -> None:
    request.respond(status, json.dumps(body).encode(), _JSON)
