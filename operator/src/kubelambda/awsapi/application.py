"""The control API as an ASGI application: from a request to an operation of the service model, and back."""

import hashlib
import json
import logging
import re
import time
import uuid
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route as Path

from kubelambda.awsapi import operations
from kubelambda.awsapi.account.caller_check import CallerCheck, Credentials
from kubelambda.awsapi.account.directory import AccountView
from kubelambda.awsapi.api_error import ApiError, not_served, unavailable
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.function.function_reads import CODE_PATH
from kubelambda.awsapi.model import constraints, parameters
from kubelambda.awsapi.model.body_receiver import BodyReceiver, BodyTooLarge
from kubelambda.awsapi.model.parameters import Parts
from kubelambda.awsapi.model.service_model import Route, ServiceModel
from kubelambda.callers.audit_log import ANONYMOUS, AuditLog
from kubelambda.core.account.caller_refused import CallerRefused
from kubelambda.core.account.request_rate import RequestRates
from kubelambda.core.account.sigv4 import SignedHead
from kubelambda.core.code.layer_sharing import account_root
from kubelambda.kube.errors import KubeError
from kubelambda.store.code.code_store import CodeStoreUnavailable

REQUEST_MAX_BYTES: Final = 70_167_211
"""Of a whole CreateFunction request (§1.3)."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Service:
    """A service of AWS: its model, what of it is served, and the media type of its answers."""

    model: ServiceModel
    handlers: Mapping[str, Handler]
    media_type: str

    @property
    def signing_name(self) -> str:
        """What its requests are signed for, and how its actions begin."""
        return "application-autoscaling" if self.model.target_prefix else "lambda"


@dataclass(slots=True)
class _Identified:
    """Who makes a call and what it is about, for the audit log: as much as is known so far."""

    name: str = ANONYMOUS
    resource: str = "-"


class ControlApi:
    """Serves Lambda's control API for one installation. `check` says who calls, and `audit` keeps it."""

    def __init__(self, services: Services, check: CallerCheck, audit: AuditLog) -> None:
        self._services = services
        self._check = check
        self._audit = audit
        self._rates = RequestRates(services.settings.rate_limits)
        self._lambda = _Service(services.model, operations.LAMBDA, "application/json")
        scaling = ServiceModel.load("application-autoscaling")
        self._scaling = _Service(scaling, operations.SCALING, "application/x-amz-json-1.1")

    def application(self) -> Starlette:
        """The routes."""
        return Starlette(
            routes=[
                Path("/healthz", self._health),
                Path("/readyz", self._ready),
                Path(CODE_PATH + "{digest}", self._code),
                Path("/{path:path}", self._serve, methods=_METHODS),
            ]
        )

    async def _health(self, _: Request) -> Response:
        return PlainTextResponse("ok")

    async def _ready(self, _: Request) -> Response:
        ready = self._services.accounts.ready and self._check.ready
        return PlainTextResponse("ok" if ready else "syncing", 200 if ready else 503)

    async def _code(self, request: Request) -> Response:
        """The archive at an address that GetFunction gave; whether its signature holds, the code store says."""
        if not _DIGEST.fullmatch(request.path_params["digest"]):
            return PlainTextResponse("no archive", 404)
        try:
            status, chunks = await self._services.store.fetch(request.path_params["digest"], request.url.query)
        except CodeStoreUnavailable as error:
            return PlainTextResponse(str(error), 503)
        return StreamingResponse(chunks, status, media_type="application/zip" if status == 200 else "text/plain")

    async def _serve(self, request: Request) -> Response:
        started = time.monotonic()
        given = request.headers.get("x-amzn-requestid", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
        name, resource, caller = "-", "", _Identified()
        headers: dict[str, str] = {}
        body = b""
        target = request.headers.get("x-amz-target", "")
        service = self._scaling if target.startswith(f"{self._scaling.model.target_prefix}.") else self._lambda
        try:
            route = _route(service, request, target)
            name = route.operation.name
            with closing(BodyReceiver()) as receiver:
                answer = await self._answer(service, request, route, receiver, caller)
            status, resource = answer.status or route.operation.status, answer.resource
            body = b"" if answer.members is None else json.dumps(answer.members).encode()
        except ApiError as error:
            status, headers, body = error.answer(service.model)
        except CallerRefused as error:
            refused = ApiError(error.type, str(error))
            status, headers, body = refused.answer(service.model)
        except ClientDisconnect:
            return Response(status_code=400)
        except KubeError as error:
            log.warning("%s: %s", name, error)
            text = f"The cluster's API server cannot be used now: {error}"
            status, headers, body = unavailable(text).answer(service.model)
        except Exception:
            log.exception("request %s (%s) failed", request_id, name)
            failed = ApiError("ServiceException", "The request failed; the log of the control API says why.")
            status, headers, body = failed.answer(service.model)
        milliseconds = round((time.monotonic() - started) * 1000, 1)
        self._audit.record(
            request_id=request_id,
            caller=caller.name,
            action=f"{service.signing_name}:{name}",
            resource=resource or caller.resource,
            status=status,
            error=headers.get("x-amzn-ErrorType", ""),
            milliseconds=milliseconds,
        )
        headers |= {"x-amzn-RequestId": request_id}
        return Response(body, status, headers, media_type=service.media_type if body else None)

    async def _answer(
        self, service: _Service, request: Request, route: Route, receiver: BodyReceiver, who: _Identified
    ) -> Answer:
        operation = route.operation.name
        handler = service.handlers.get(operation)
        if handler is None:
            raise not_served(operation)
        credentials = await self._check.credentials(_head(request), service.signing_name)
        body, digest = await _receive(request, receiver, operation, signed=credentials.claim is not None)
        credentials = self._check.proven(credentials, digest)
        if credentials.caller is not None:
            who.name = credentials.caller.arn
        host = request.headers.get("host", "")
        home = await self._home(credentials, host)
        if service is self._lambda and not self._rates.admits(home.namespace, operation, time.monotonic()):
            raise ApiError("TooManyRequestsException", "Rate Exceeded.", {"Reason": "CallerRateLimitExceeded"})
        query = parse_qs(request.url.query, keep_blank_values=True)
        parts = Parts(route.labels, query, request.headers, body)
        found = parameters.collect(service.model, route.operation, parts)
        wrong = constraints.violations(service.model, route.operation.input, found)
        if wrong:
            raise ApiError("ValidationException", constraints.message(wrong))
        who.resource = await self._check.authorize(credentials, home, service.signing_name, operation, found)
        endpoint = f"{request.headers.get('x-forwarded-proto', 'http')}://{host}"
        user = credentials.caller.arn if credentials.caller is not None else account_root(home.id)
        return await handler(self._services, Call(operation, found, home, endpoint, user))

    async def _home(self, credentials: Credentials, host: str) -> AccountView:
        """The account that a request comes from (DESIGN §10)."""
        found = await self._check.account(credentials, host)
        if found is None:
            raise ApiError("AccessDeniedException", "There is no account that the call could come from.")
        return found


def _head(request: Request) -> SignedHead:
    """What of a request is signed, as it came."""
    headers: dict[bytes, bytes] = {}
    for name, value in request.scope["headers"]:
        headers[name] = headers[name] + b"," + value if name in headers else value
    query = request.scope["query_string"]
    target = request.scope["raw_path"] + (b"?" + query if query else b"")
    return SignedHead(request.method.encode(), target, headers)


def _route(service: _Service, request: Request, target: str) -> Route:
    """The operation that a request asks for: by its path, or by its header `X-Amz-Target` (json 1.1)."""
    if service.model.target_prefix:
        operation = service.model.operations.get(target.partition(".")[2])
        if operation is None or request.method != "POST":
            raise ApiError("UnknownOperationException", f"no operation {target}")
        return Route(operation, {})
    path = request.scope["raw_path"].decode("latin-1")
    route = service.model.route(request.method, path, parse_qs(request.url.query, keep_blank_values=True))
    if route is None:
        raise ApiError("UnknownOperationException", f"no operation at {request.method} {path}")
    return route


async def _receive(
    request: Request, receiver: BodyReceiver, operation: str, *, signed: bool
) -> tuple[Mapping[str, Any], str]:
    """The JSON object of the body, of none an empty one, and the digest of a body that is signed. Raises `ApiError`."""
    digest = hashlib.sha256()
    try:
        async for piece in request.stream():
            receiver.feed(piece)
            if signed:
                digest.update(piece)
            if receiver.size >= REQUEST_MAX_BYTES:
                raise BodyTooLarge
    except BodyTooLarge as error:
        text = f"Request must be smaller than {REQUEST_MAX_BYTES} bytes for the {operation} operation"
        raise ApiError("RequestEntityTooLargeException", text) from error
    try:
        return receiver.document(), digest.hexdigest()
    except ValueError as error:
        raise ApiError("SerializationException", f"Could not parse request body into json: {error}") from error
