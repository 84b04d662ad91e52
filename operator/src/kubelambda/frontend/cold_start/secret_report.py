"""Tells the operator which keys the Secrets of a namespace have: frontends read them anyway, the operator cannot."""

import hmac
import logging
from typing import Final

from kubelambda.core.environment import secret_keys, tokens
from kubelambda.kube.errors import Forbidden, KubeError, NotFound
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import SECRETS
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.request_reader import Admission, Whole
from kubelambda.wire.server import Request

QUESTION_MAX_BYTES: Final = 1_048_576
"""As many names as the references of one function's variables can hold, and far more."""

log = logging.getLogger(__name__)


class SecretReport:
    """Answers questions that carry the operator's token; everybody else learns nothing, not even names."""

    def __init__(self, client: KubeClient, key: bytes) -> None:
        self._client = client
        self._authorization = f"Bearer {tokens.secret_report_token(key)}".encode()
        self._tasks = BackgroundTasks()

    def admit(self, request: Request) -> Admission:
        """Decides at the head of `POST /internal/secret-keys`."""
        if hmac.compare_digest(request.headers.get(b"authorization", b""), self._authorization):
            return Whole(QUESTION_MAX_BYTES, self._serve)
        request.respond(401)
        return None

    def _serve(self, request: Request) -> None:
        if request.size > QUESTION_MAX_BYTES:
            request.respond(413)
            return
        try:
            namespace, names = secret_keys.parse_question(request.body)
        except ValueError as error:
            request.respond(400, str(error).encode())
            return
        self._tasks.answer(request, self._answer(request, namespace, names))

    async def _answer(self, request: Request, namespace: str, names: list[str]) -> None:
        try:
            found = {name: await self._keys(namespace, name) for name in names}
        except KubeError as error:
            log.info("secrets of %s: %s", namespace, error)
            request.respond(503, str(error).encode())
        else:
            request.respond(200, secret_keys.answer(found), b"Content-Type: application/json\r\n")

    async def _keys(self, namespace: str, name: str) -> frozenset[str] | str:
        try:
            found = await self._client.get(SECRETS, name, namespace)
        except NotFound:
            return f"does not exist in namespace {namespace}"
        except Forbidden as error:
            return f"cannot be read ({error})"
        return frozenset(found.get("data") or {})
