"""Function URLs: from an HTTP request for one of their hosts to an Invoke of the function (§2.5)."""

import time
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final, Protocol
from urllib.parse import quote

from kubelambda.api.settings import Settings
from kubelambda.callers.audit_log import AuditLog
from kubelambda.core.account import identity
from kubelambda.core.account.access_decision import INVOKE_URL
from kubelambda.core.account.caller import ANYBODY, AuthMode, Caller, account_mode
from kubelambda.core.account.caller_refused import CallerRefused
from kubelambda.core.account.identity import FunctionReference
from kubelambda.core.invoke import invoke_error
from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.core.invoke.url_address import UrlDomain, id_in_host
from kubelambda.core.invoke.url_cors import preflight, with_cors
from kubelambda.core.invoke.url_event import UrlCaller, UrlRequest, url_event
from kubelambda.core.invoke.url_response import FORBIDDEN, UNKNOWN, UrlResponse
from kubelambda.frontend.account.forwarder import NAMESPACE, Hop
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.dispatch.invocation import refuse
from kubelambda.frontend.invoke import invoke_request
from kubelambda.frontend.invoke.audited_answer import AuditedAnswer
from kubelambda.frontend.invoke.early_answer import SMALL_BYTES, answered_early, is_small
from kubelambda.frontend.invoke.invoke_request import InvokeCall
from kubelambda.frontend.invoke.url_answer import UrlAnswer, answer_lines
from kubelambda.frontend.invoke.url_gate import NOBODY, Proof, UrlCall, UrlGate
from kubelambda.frontend.invoke.url_stream_answer import UrlStreamAnswer
from kubelambda.kube.late_news import LateNews
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.request import Request
from kubelambda.wire.request_reader import Admission, Whole

_TRACE: Final = b"x-amzn-trace-id"
_AUTHORIZATION: Final = "authorization"
_REMEMBERED_MAX_BYTES: Final = 255

_known_id_in_host = lru_cache(maxsize=4096)(id_in_host)
"""Every request has a host, and they are the same few again and again."""


class Invoke(Protocol):
    """Answers an invocation."""

    def __call__(self, request_id: str, call: InvokeCall, hop: Hop | None, request: Request, /) -> None:
        """`hop` is None: it comes from no other frontend."""


class UrlDoor:
    """Answers requests for function URLs. `synced`: whether the caches have seen the cluster."""

    def __init__(
        self,
        caches: Caches,
        settings: Settings,
        *,
        gate: UrlGate,
        audit: AuditLog,
        invoke: Invoke,
        synced: Callable[[], bool],
    ) -> None:
        urls = settings.function_urls
        self._caches = caches
        self._settings = settings
        self._suffix = UrlDomain(settings.region, urls.domain).suffix
        self._proxies = urls.proxies
        self._gate = gate
        self._audit = audit
        self._invoke = invoke
        self._synced = synced
        self._tasks = BackgroundTasks()

    def id_of(self, request: Request) -> str | None:
        """The id of the URL that a request is for; None for one that is for none."""
        host = request.headers.get(b"host", b"")
        find = _known_id_in_host if len(host) <= _REMEMBERED_MAX_BYTES else id_in_host
        return find(host, self._suffix)

    def admit(self, request: Request, url_id: str, request_id: str) -> Admission:
        """What becomes of a request, at its head. Raises `InvokeError`."""
        return self._admit(request, url_id, request_id, waits=True)

    def _admit(self, request: Request, url_id: str, request_id: str, *, waits: bool) -> Admission:
        """`waits`: whether what may have been made a moment ago is waited for."""
        call = self._find(url_id)
        if call is None:
            if not self._synced():
                raise invoke_error.not_synced()
            if waits and is_small(request):
                return Whole(SMALL_BYTES, partial(self._wait, url_id, request_id))
            return answered_early(request, partial(_answer, UNKNOWN, request_id))
        headers, cors = _decoded(request), call.entry.url.cors
        asked = preflight(cors, request.method.decode("latin-1"), headers) if cors is not None else None
        if asked is not None:
            return answered_early(request, partial(_answer, asked, request_id))
        limit = invoke_request.check_size(request.size, event=False)
        started = time.monotonic()
        try:
            proof = self._gate.proof(request, call)
        except CallerRefused as refused:
            if waits and is_small(request) and self._told_by(call, refused) is not None:
                return Whole(SMALL_BYTES, partial(self._wait, url_id, request_id))
            self._audit_of(request, call, request_id, started, None)
            return answered_early(request, partial(_refuse, call, refused, request_id))
        return Whole(limit, partial(self._serve, call, proof, request_id, started))

    def _wait(self, url_id: str, request_id: str, request: Request) -> None:
        self._tasks.answer(request, self._hear(url_id, request_id, request))

    async def _hear(self, url_id: str, request_id: str, request: Request) -> None:
        """Waits a moment for whatever the caches may not have heard of, and goes on by what they know then."""
        of_urls, of_keys = self._caches.urls.news, self._caches.access_keys.news
        await of_urls.wait(lambda: self._awaited(request, url_id) is not of_urls)
        await of_keys.wait(lambda: self._awaited(request, url_id) is not of_keys)
        if not request.alive:  # it would run for nobody
            request.abort()
            return
        try:
            admission = self._admit(request, url_id, request_id, waits=False)
        except InvokeError as error:
            refuse(request, request_id, error)
        else:
            assert isinstance(admission, Whole), "nothing of it is on its way"
            admission.serve(request)

    def _awaited(self, request: Request, url_id: str) -> LateNews | None:
        """What tells of the URL, of who may call it, or of the caller's key, where that is not known."""
        call = self._find(url_id)
        if call is None:
            return self._caches.urls.news
        try:
            self._gate.proof(request, call)
        except CallerRefused as refused:
            return self._told_by(call, refused)
        return None

    def _told_by(self, call: UrlCall, refused: CallerRefused) -> LateNews | None:
        """What tells of the key, or of the permission, that a refused caller may have since a moment ago."""
        if refused.unheard:
            return self._caches.access_keys.news
        return self._caches.urls.news if call.entry.url.auth_type == NOBODY else None

    def _find(self, url_id: str) -> UrlCall | None:
        entry = self._caches.urls.find(url_id)
        view = self._caches.functions.items.get((entry.namespace, entry.function)) if entry is not None else None
        account = self._caches.namespaces.items.get(("", entry.namespace)) if entry is not None else None
        if entry is None or view is None or account is None:
            return None
        name = view.function_name or entry.function
        return UrlCall(
            entry,
            arn=identity.function_arn(self._settings.region, account.account_id, name, entry.qualifier),
            account=account.account_id,
            name=name,
            statements=view.statements,
            mode=account_mode(AuthMode(self._settings.auth.mode), account.auth_mode),
        )

    def _serve(self, call: UrlCall, proof: Proof, request_id: str, started: float, request: Request) -> None:
        """A whole request."""

        def then(found: Caller | CallerRefused) -> None:
            caller = found if isinstance(found, Caller) else None
            self._audit_of(request, call, request_id, started, caller)
            if caller is None:
                assert isinstance(found, CallerRefused), "one or the other"
                _refuse(call, found, request_id, request)
                return
            try:
                self._run(call, caller, proof, request_id, request)
            except InvokeError as error:
                refuse(request, request_id, error)

        self._gate.decide(proof, request, call, then)

    def _run(self, call: UrlCall, caller: Caller, proof: Proof, request_id: str, request: Request) -> None:
        """Makes an Invoke of the request, which whoever runs it understands. Raises `InvokeError`."""
        entry, origin = call.entry, _origin(request)
        answer = UrlStreamAnswer if entry.url.streamed else UrlAnswer
        request.connection = answer(
            request.connection, method=request.method, request_id=request_id, cors=entry.url.cors, origin=origin
        )
        invoke_request.check_size(request.size, event=False)
        invoke_request.complete_trace(request)
        trace = request.headers[_TRACE]
        event = url_event(self._described(call, caller, proof, request_id, request), time.time())
        target = invoke_request.target_of(call.name, streamed=entry.url.streamed)
        request.method = b"POST"
        request.target = f"{target}?Qualifier={quote(entry.qualifier)}".encode() if entry.qualifier else target.encode()
        request.headers = {b"host": request.headers[b"host"], NAMESPACE: entry.namespace.encode(), _TRACE: trace}
        request.body, request.size = event, len(event)
        invocation = InvokeCall(
            FunctionReference(call.name), entry.qualifier, dry_run=False, streamed=entry.url.streamed
        )
        self._invoke(request_id, invocation, None, request)

    def _described(self, call: UrlCall, caller: Caller, proof: Proof, request_id: str, request: Request) -> UrlRequest:
        headers = _decoded(request)
        if proof.token is not None:  # it opens more than this function
            del headers[_AUTHORIZATION]
        known = UrlCaller(caller.arn, caller.account, proof.access_key) if caller is not ANYBODY else None
        source, scheme = self._sender(request, headers)
        return UrlRequest(
            method=request.method.decode("latin-1"),
            target=request.target.decode("latin-1"),
            headers=headers,
            body=request.body,
            source_ip=source,
            scheme=scheme,
            host=headers["host"],
            url_id=call.entry.url.id,
            request_id=request_id,
            caller=known,
        )

    def _sender(self, request: Request, headers: dict[str, str]) -> tuple[str, str]:
        """Where a request comes from, and by what scheme: what our own proxies say, and nobody else."""
        chain = [each.strip() for each in headers.get("x-forwarded-for", "").split(",")]
        if not self._proxies or len(chain) < self._proxies or not chain[0]:
            return request.connection.peer, "http"
        scheme = headers.get("x-forwarded-proto", "").rpartition(",")[2].strip()
        return chain[-self._proxies], scheme if scheme in ("http", "https") else "http"

    def _audit_of(
        self, request: Request, call: UrlCall, request_id: str, started: float, caller: Caller | None
    ) -> None:
        """Has the answer told to the audit log."""
        audited = self._settings.auth.audit
        if audited == "none" or (audited == "identified" and caller is ANYBODY):
            return
        request.connection = AuditedAnswer(
            request.connection,
            self._audit,
            request_id=request_id,
            caller=(caller or ANYBODY).arn,
            resource=call.arn,
            started=started,
            action=INVOKE_URL,
        )


def _refuse(call: UrlCall, refused: CallerRefused, request_id: str, request: Request) -> None:
    """A caller that may not; where nobody can tell now, that is said."""
    if refused.status >= 500:
        refuse(request, request_id, InvokeError(refused.status, refused.type, str(refused), retry_after=1))
        return
    _answer(with_cors(call.entry.url.cors, _origin(request), FORBIDDEN), request_id, request)


def _answer(answer: UrlResponse, request_id: str, request: Request) -> None:
    request.respond(answer.status, answer.body, answer_lines(answer, request_id))


def _origin(request: Request) -> str | None:
    """The page that a script's request comes from."""
    found = request.headers.get(b"origin")
    return found.decode("latin-1") if found is not None else None


def _decoded(request: Request) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers.items()}
