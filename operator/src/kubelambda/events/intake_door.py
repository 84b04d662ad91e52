"""The port that frontends hand events over to: open before the queue is, and for a moment after it."""

from kubelambda.events.intake import EventIntake
from kubelambda.wire.request import Request


class IntakeDoor:
    """Says that the process is alive, and takes nothing, while there is no `intake`.

    Another process may have the queue's file for long, and a large file is read for long. Whoever waits for that does
    not hang: a kubelet that ended it would let each start come later than the one before.
    """

    def __init__(self) -> None:
        self.intake: EventIntake | None = None
        """Who answers while the queue is open."""

    def serve(self, request: Request) -> None:
        """Answers one request."""
        if self.intake is not None:
            self.intake.serve(request)
        elif request.target == b"/healthz":
            request.respond(200, b"ok")
        else:
            request.respond(503, b"the queue is not open")
