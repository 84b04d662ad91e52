"""What an InvokeEndpoint serves: invocations that its policy allows, and nothing else."""

from collections.abc import Callable
from functools import partial

from kubelambda.core.account import caller_refused
from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.frontend import front_door
from kubelambda.frontend.cluster.views import EndpointView
from kubelambda.frontend.endpoint.endpoint_gate import EndpointGate
from kubelambda.frontend.invoke import invoke_request
from kubelambda.frontend.invoke.caller_gate import PRINCIPAL, invoke_refusal
from kubelambda.frontend.invoke.invoke_request import AnotherOperation
from kubelambda.frontend.invoke.stream_answer import StreamAnswer
from kubelambda.frontend.invoke.url_door import Invoke
from kubelambda.wire.request import Request
from kubelambda.wire.request_reader import Admission, Whole

_GONE = "The InvokeEndpoint does not exist any more."

type Current = Callable[[], EndpointView | None]
"""The endpoint of a port as it is now."""


class EndpointDoor:
    """Whoever comes this way is a stranger: a proof of being one of our components counts for nothing here."""

    def __init__(self, invoke: Invoke, gate: EndpointGate) -> None:
        self._invoke = invoke
        self._gate = gate

    def admit(self, current: Current, request: Request) -> Admission:
        """Decides at the head of a request."""
        request_id = invoke_request.new_request_id(request, trusted=False)
        try:
            return self._route(current(), request, request_id)
        except InvokeError as error:
            return front_door.refused(request, request_id, error)

    def _route(self, endpoint: EndpointView | None, request: Request, request_id: str) -> Admission:
        if endpoint is None:
            raise invoke_refusal(caller_refused.denied(_GONE))
        try:
            call = invoke_request.parse_call(request)
        except AnotherOperation:
            raise front_door.unknown(request) from None
        for claim in (front_door.CALLER_HEADER, PRINCIPAL):
            request.headers.pop(claim, None)
        limit = invoke_request.check_size(request.size, event=call.event)
        if call.streamed:
            request.connection = StreamAnswer(request.connection)
        serve = partial(self._invoke, request_id, call, None)
        check = self._gate(endpoint, request, call, request_id)
        return Whole(limit, serve if check is None else partial(front_door.checked, check, serve, request_id))
