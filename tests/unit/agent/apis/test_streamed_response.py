"""A runtime that is still sending when its invocation is over, or whose caller reads as he likes."""

from dataclasses import dataclass, field
from typing import Any, cast

from kubelambda.agent.apis.streamed_response import StreamedResponse
from kubelambda.agent.sandbox.running_invocation import RunningInvocation, timed_out
from kubelambda.wire.flow import Flow
from kubelambda.wire.request import Request


@dataclass
class Connection:
    """The runtime's connection, or the caller's."""

    lasting: bool = False
    relaying: bool = False
    peer: str = ""
    sent: bytes = b""
    trailers: bytes | None = None
    paused: bool = False
    flows: list[Flow] = field(default_factory=list)

    def respond(self, request: Request, status: int, body: bytes, headers: bytes) -> None:
        """Whole."""
        raise AssertionError

    def begin(self, request: Request, status: int, headers: bytes, length: int | None, flow: Flow | None) -> None:
        """The head."""
        assert flow is not None
        self.flows.append(flow)

    def write(self, request: Request, data: bytes) -> None:
        """Some of the body."""
        self.sent += data

    def end(self, request: Request, trailers: bytes) -> None:
        """All of it."""
        self.trailers = trailers

    def abort(self, request: Request) -> None:
        """Never."""
        raise AssertionError

    def pause(self, request: Request) -> None:
        """Reads nothing."""
        self.paused = True

    def resume(self, request: Request) -> None:
        """Reads on."""
        self.paused = False

    def serves(self, request: Request) -> bool:
        """Always."""
        return True


def streaming(most: int) -> tuple[Connection, RunningInvocation, Connection, StreamedResponse, list[str]]:
    """A response of at most so many bytes; the last is what is told of it."""
    caller, runtime = Connection(), Connection()
    told: list[str] = []
    invocation = RunningInvocation(
        Request(caller, b"POST", b"/invoke", {}, b"", 0), b"id-1", b"arn", False, 0.0, b"%d,1000,0" % most
    )
    sink = StreamedResponse(
        Request(runtime, b"POST", b"/response", {}, b"", 0),
        invocation,
        cast("Any", None),
        complete=lambda _: told.append("complete"),
        broken_off=lambda: told.append("broken off"),
        exceeded=lambda _: told.append("exceeded"),
    )
    return caller, invocation, runtime, sink, told


def test_a_runtime_whose_invocation_is_over_is_read_on() -> None:
    """Its slow caller says nothing any more: else nobody would see that its connection ended."""
    caller, invocation, runtime, sink, told = streaming(100)
    sink.data(b"one")
    caller.flows[0].pause()
    assert runtime.paused
    invocation.answer(b"", timed_out(b"id-1", 3.0), 3000, retire=False)
    assert not runtime.paused
    sink.abort("the runtime was killed")
    assert told == ["broken off"]


def test_what_comes_after_the_end_counts_for_nobody() -> None:
    """Another invocation may run by then, and has nothing to do with what was too much for this one."""
    caller, invocation, _, sink, told = streaming(5)
    sink.data(b"one")
    invocation.answer(b"", timed_out(b"id-1", 3.0), 3000, retire=False)
    sink.data(b"two, and more")
    assert not told
    assert caller.sent == b"one"
    assert caller.trailers is not None


def test_more_than_may_be_ends_the_answer() -> None:
    """What fits has gone by then."""
    caller, _, _, sink, told = streaming(5)
    sink.data(b"one")
    sink.data(b"two")
    sink.data(b"three")
    assert told == ["exceeded"]
    assert caller.sent == b"one"
