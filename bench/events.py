"""Events on an idle installation: from the call to the start of the function."""

import http.client
import json
import statistics
import time

from bench import cluster

EVENTS = 200
PAUSE_S = 0.02
CODE = """
import time
LATE = []
def handler(event, context):
    now = time.time()
    if "sent" in event:
        LATE.append((now - event["sent"]) * 1000)
    return LATE
"""
"""One environment keeps them all: nothing runs at once. Its clock is ours: the cluster is this machine."""


def measure() -> dict[str, float]:
    """Milliseconds from the caller's first byte to the function's first line, one event at a time."""
    cluster.function("late", code=CODE)
    connection = http.client.HTTPConnection(*cluster.frontend(), timeout=30)
    path = cluster.path("late")

    def call(event: object, kind: str = "RequestResponse") -> bytes:
        connection.request("POST", path, json.dumps(event), {"X-Amz-Invocation-Type": kind})
        response = connection.getresponse()
        if response.status >= 300:
            raise RuntimeError(f"the invocation answered {response.status}")
        return response.read()

    call({})
    for _ in range(EVENTS):
        call({"sent": time.time()}, "Event")
        time.sleep(PAUSE_S)
    time.sleep(1)
    found: list[float] = json.loads(call({}))
    return {
        "event_start_p50_ms": statistics.median(found),
        "event_start_p95_ms": sorted(found)[int(len(found) * 0.95)],
        "events_seen": float(len(found)),
    }
