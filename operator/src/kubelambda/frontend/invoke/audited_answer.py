"""An answer on its way to the caller, of which the audit log is told once."""

import re
import time
from typing import Final

from kubelambda.callers.audit_log import AuditLog
from kubelambda.core.account.access_decision import INVOKE
from kubelambda.wire.flow import Flow
from kubelambda.wire.passing_answer import PassingAnswer
from kubelambda.wire.request import Answering, Request

_ERROR: Final = re.compile(rb"^x-amzn-errortype: ([^\r\n]+)", re.IGNORECASE | re.MULTILINE)


class AuditedAnswer(PassingAnswer):
    """Stands before the connection of one request."""

    __slots__ = ("_action", "_audit", "_caller", "_request_id", "_resource", "_started", "_told")

    def __init__(
        self,
        connection: Answering,
        audit: AuditLog,
        *,
        request_id: str,
        caller: str,
        resource: str,
        started: float,
        action: str = INVOKE,
    ) -> None:
        """`started` is on the monotonic clock."""
        super().__init__(connection)
        self._action = action
        self._audit = audit
        self._request_id = request_id
        self._caller = caller
        self._resource = resource
        self._started = started
        self._told = False

    def respond(self, request: Request, status: int, body: bytes, headers: bytes) -> None:
        """As the connection does."""
        self._tell(status, headers)
        super().respond(request, status, body, headers)

    def begin(self, request: Request, status: int, headers: bytes, length: int | None, flow: Flow | None) -> None:
        """As the connection does."""
        self._tell(status, headers)
        super().begin(request, status, headers, length, flow)

    def abort(self, request: Request) -> None:
        """As the connection does."""
        self._tell(0, b"")
        super().abort(request)

    def _tell(self, status: int, headers: bytes) -> None:
        if self._told:
            return
        self._told = True
        found = _ERROR.search(headers) if status >= 400 else None
        self._audit.record(
            request_id=self._request_id,
            caller=self._caller,
            action=self._action,
            resource=self._resource,
            status=status,
            error=found[1].decode("latin-1") if found is not None else "",
            milliseconds=(time.monotonic() - self._started) * 1000,
        )
