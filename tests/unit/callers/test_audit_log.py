"""One line a call, gathered."""

import json
from collections.abc import Callable

from kubelambda.callers.audit_log import AuditLog


def test_a_line_says_who_did_what_to_what_and_what_came_of_it() -> None:
    """As JSON, whatever is in the names; written when its time has come."""
    written: list[str] = []
    later: list[Callable[[], None]] = []
    log = AuditLog(written.append, lambda _, work: later.append(work), clock=lambda: 1.5)
    for status, error in ((200, ""), (403, "AccessDeniedException")):
        log.record(
            request_id="a-b",
            caller='jane "x"\n',
            action="lambda:InvokeFunction",
            resource="arn",
            status=status,
            error=error,
            milliseconds=1.25,
        )
    assert (written, len(later)) == ([], 1)
    later[0]()
    lines = [json.loads(line) for line in "".join(written).splitlines()]
    assert [line["status"] for line in lines] == [200, 403]
    assert lines[1] == {
        "time": "1970-01-01T00:00:01.500Z",
        "level": "INFO",
        "logger": "kubelambda.audit",
        "requestId": "a-b",
        "caller": 'jane "x"\n',
        "action": "lambda:InvokeFunction",
        "resource": "arn",
        "status": 403,
        "error": "AccessDeniedException",
        "milliseconds": 1.2,
    }


def test_much_is_written_at_once() -> None:
    """Nothing waits for its time when there is a lot."""
    written: list[str] = []
    log = AuditLog(written.append, lambda *_: None)
    for _ in range(1000):
        log.record(request_id="a", caller="c" * 100, action="x", resource="y", status=200)
    assert len(written) > 1
