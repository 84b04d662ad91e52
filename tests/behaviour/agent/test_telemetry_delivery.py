"""How batches reach a subscriber that answers in its own way, late, wrongly, or not at all (§4.2.2)."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from kubelambda.agent.telemetry import telemetry_delivery
from kubelambda.agent.telemetry.telemetry_delivery import TelemetryDelivery
from kubelambda.core.telemetry.telemetry_events import TelemetryEvent
from kubelambda.core.telemetry.telemetry_subscription import TelemetryApi, TelemetrySubscription
from kubelambda.wire.event_loop import EventLoop

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Subscriber:
    """Listens; `answers` are what it says to one request after the other. An empty one: it says nothing more."""

    def __init__(self, *answers: bytes, tcp: bool = False) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.answers = list(answers)
        self.batches: list[list[Any]] = []
        self.connections = 0
        self.tcp = tcp
        self.reading = threading.Event()
        self.reading.set()

    @property
    def port(self) -> int:
        """Where."""
        port: int = self.server.getsockname()[1]
        return port

    def serve(self) -> None:
        """Until the listening socket is closed."""
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._lines if self.tcp else self._requests, args=(connection,)).start()

    def _requests(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            while line := reader.readline():
                length = 0
                while line.strip():
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                    line = reader.readline()
                self.batches.append([each["record"] for each in json.loads(reader.read(length))])
                answer = self.answers.pop(0) if self.answers else OK
                if not answer:
                    return
                for part in answer.split(b"|"):
                    connection.sendall(part)
                    time.sleep(0.01)
                if b"close" in answer or b"HTTP/1.0" in answer:
                    return

    def _lines(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            while self.reading.wait(60) and (line := reader.readline()):
                self.batches.append([json.loads(line)["record"]])


class Delivering:
    """A delivery on a loop of its own, which only runs while something is waited for."""

    def __init__(self, subscriber: Subscriber) -> None:
        self.loop = EventLoop()
        self.subscriber = subscriber
        bounds: dict[str, Any] = {"max_items": 1000, "max_bytes": 262_144, "timeout_s": 0.025}
        wanted = TelemetrySubscription(
            TelemetryApi.TELEMETRY, "2022-12-13", ("function", "platform"), subscriber.port, subscriber.tcp, **bounds
        )
        self.delivery = TelemetryDelivery(wanted, self.loop)
        self._deadline = time.monotonic() + 60

    def say(self, record: str) -> None:
        """The function prints something."""
        self.delivery.add(TelemetryEvent(time.time(), "function", record))

    def until(self, holds: Callable[[], Any]) -> None:
        """Runs until something holds."""

        def look() -> None:
            if holds() or time.monotonic() > self._deadline:
                self.loop.stop()
            else:
                self.loop.call_later(0.01, look)

        self.loop.call_later(0, look)
        self.loop._running = True
        self.loop.run()
        assert holds(), self.subscriber.batches


@pytest.fixture
def deliver() -> Iterator[Callable[..., Delivering]]:
    """Starts a subscriber, and what delivers to it."""
    started: list[Delivering] = []

    def delivering(*answers: bytes, tcp: bool = False) -> Delivering:
        subscriber = Subscriber(*answers, tcp=tcp)
        threading.Thread(target=subscriber.serve).start()
        started.append(Delivering(subscriber))
        return started[-1]

    yield delivering
    for each in started:
        each.subscriber.reading.set()
        each.subscriber.server.shutdown(socket.SHUT_RDWR)
        each.subscriber.server.close()
        each.delivery.close()
        each.until(lambda: True)
        each.loop.close()


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n|done",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n|ok\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n|HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n|whatever",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwhat|ever",
    ],
)
def test_every_answer_that_is_no_failure_is_taken_for_one(deliver: Callable[..., Delivering], answer: bytes) -> None:
    """Each batch comes once, whether the connection is kept or not."""
    found = deliver(answer, answer)
    for number in range(3):
        found.say(f"{number}\n")
        found.until(lambda number=number: len(found.subscriber.batches) > number)  # type: ignore[misc]
    found.until(lambda: found.delivery.empty)
    assert found.subscriber.batches == [["0\n"], ["1\n"], ["2\n"]]


@pytest.mark.parametrize("failure", [b"", b"what?\r\n\r\n", b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"])
def test_what_failed_is_sent_again_with_what_came_meanwhile_behind_it(
    deliver: Callable[..., Delivering], failure: bytes
) -> None:
    """In their order."""
    found = deliver(failure)
    found.say("1\n")
    found.until(lambda: found.subscriber.batches)
    found.say("2\n")
    found.until(lambda: len(found.subscriber.batches) == 3)
    assert found.subscriber.batches == [["1\n"], ["1\n"], ["2\n"]]


def test_a_connection_that_ended_between_two_batches_is_no_failure(deliver: Callable[..., Delivering]) -> None:
    """It is opened again at once."""
    found = deliver(OK, b"", OK)
    for number in range(3):
        found.say(f"{number}\n")
        found.until(lambda: found.delivery.empty)
    assert found.subscriber.batches == [["0\n"], ["1\n"], ["1\n"], ["2\n"]]
    assert found.subscriber.connections == 2


def test_what_cannot_be_delivered_is_dropped_and_told(
    deliver: Callable[..., Delivering], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before what comes next, and only then: whoever is gone gives nobody anything to do."""
    monkeypatch.setattr(telemetry_delivery, "retry_after", lambda attempt: 0.01 if attempt < 2 else None)
    found = deliver(*[b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"] * 3)
    found.say("1\n")
    found.until(lambda: len(found.subscriber.batches) == 3 and found.delivery.empty)
    found.say("2\n")
    found.until(lambda: len(found.subscriber.batches) == 4)
    *lost, (told, line) = found.subscriber.batches
    assert (lost, line) == ([["1\n"]] * 3, "2\n")
    assert (told["droppedRecords"], told["reason"]) == (
        1,
        "The events could not be delivered: the subscriber answered 503",
    )


def test_a_subscriber_that_is_gone_gives_nobody_anything_to_do(
    deliver: Callable[..., Delivering], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it cannot be told is no event of its own, which could not be told either."""
    monkeypatch.setattr(telemetry_delivery, "retry_after", lambda _: None)
    found = deliver(*[b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"] * 10_000)
    found.say("1\n")
    found.until(lambda: found.subscriber.batches and found.delivery.empty)
    assert not [timer for *_, timer in found.loop._timers if timer.callback is not None]


def test_to_tell_what_was_dropped_drops_nothing_more(deliver: Callable[..., Delivering]) -> None:
    """A batch may be full just then: each line of this function is one."""
    found = deliver(b"HTTP/1.1 200 OK\r\n|Content-Length: 0\r\n\r\n")
    lines = [f"{number} " + "x" * 262_144 for number in range(4)]
    for each in lines:
        found.say(each)
    found.until(lambda: found.delivery.empty)
    first, (told, last) = found.subscriber.batches
    assert (first, told["droppedRecords"], last) == (lines[:1], 2, lines[3])


def test_a_full_batch_goes_before_more_comes_once_its_subscriber_is_there_again(
    deliver: Callable[..., Delivering],
) -> None:
    """Nothing is dropped that can be sent; nor does a subscription drop it that has smaller bounds."""
    found = deliver()
    found.delivery.pause()
    for number in range(3):
        found.say(f"{number}\n")
    found.delivery.resume(replace(found.delivery.wanted, max_items=2))
    found.say("3\n")
    found.until(lambda: found.delivery.empty)
    assert found.subscriber.batches == [["0\n", "1\n", "2\n"], ["3\n"]]


def test_nothing_is_lost_while_nobody_is_there(deliver: Callable[..., Delivering]) -> None:
    """What was not acknowledged comes again, before all that came since."""
    found = deliver(b"")
    settled: list[bool] = []
    found.say("1\n")
    found.until(lambda: found.subscriber.batches)
    found.delivery.when_settled(lambda: settled.append(True))
    found.delivery.pause()
    assert settled
    found.say("2\n")
    time.sleep(0.05)
    found.delivery.resume()
    found.until(lambda: len(found.subscriber.batches) == 3)
    assert found.subscriber.batches == [["1\n"], ["1\n"], ["2\n"]]


def test_who_waits_for_a_flush_hears_of_its_end_and_never_waits_for_another_attempt(
    deliver: Callable[..., Delivering],
) -> None:
    """A subscriber that is gone holds up no SHUTDOWN."""
    found = deliver(OK, b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
    for number in range(2):
        settled: list[bool] = []
        found.say(f"{number}\n")
        found.delivery.flush()
        found.delivery.when_settled(lambda settled=settled: settled.append(True))  # type: ignore[misc]
        assert not settled
        found.until(lambda settled=settled: settled)  # type: ignore[misc]
        assert len(found.subscriber.batches) == number + 1


def test_lines_that_nobody_reads_are_not_taken_for_delivered(deliver: Callable[..., Delivering]) -> None:
    """By TCP nobody acknowledges: what the kernel does not take waits, within bounds, and all of it comes once."""
    found = deliver(tcp=True)
    found.subscriber.reading.clear()
    for number in range(400):
        found.say(f"{number} " + "x" * 100_000)
        found.until(lambda: True)
    assert not found.delivery.empty
    found.subscriber.reading.set()
    found.until(lambda: found.delivery.empty)
    found.say("last")
    found.until(lambda: ["last"] in found.subscriber.batches)
    (dropped,) = [each[0] for each in found.subscriber.batches if isinstance(each[0], dict)]
    lines = [each[0] for each in found.subscriber.batches if isinstance(each[0], str)]
    assert len(lines) - 1 + dropped["droppedRecords"] == 400
    assert len(set(lines)) == len(lines)
