"""An external extension of a test's own that subscribes to telemetry, and what it noted down."""

import json
import time
from collections.abc import Callable
from typing import Any

from tests.behaviour.agent.extension_probe import Journal

SCRIPT = """#!{python}
import http.server, json, os, socketserver, sys, threading, time, urllib.error, urllib.request

name = os.path.basename(sys.argv[0])
mode = os.environ.get("MODE", "").split()
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"]
path = os.environ["JOURNAL"]
noting = threading.Lock()
refusals = [500, 503] if "refuses" in mode else []

def note(**what):
    with noting, open(path, "a") as journal:
        journal.write(json.dumps({{"name": name, "pid": os.getpid()}} | what) + "\\n")

def call(method, where, body=None, **headers):
    named = {{"Lambda-Extension-" + key.replace("_", "-"): value for key, value in headers.items()}}
    body = body if body is None or isinstance(body, str) else json.dumps(body)
    request = urllib.request.Request(api + where, body and body.encode(), named, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.loads(error.read())

def wait_for(gate):
    while not os.path.exists(path + ".gate-" + gate):
        time.sleep(0.02)

class Requests(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "slow" in mode:
            wait_for("batch")
        status = refusals.pop() if refusals else 200
        note(batch=json.loads(body), status=status, request=f"{{self.command}} {{self.path}}", head=dict(self.headers))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_PUT = do_POST
    def log_message(self, *_):
        pass

class Lines(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            note(batch=[json.loads(line)])

handler = Lines if "tcp" in mode else Requests
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
port = server.server_address[1]

events = os.environ.get("EVENTS", "INVOKE SHUTDOWN").split()
_, headers, _ = call("POST", "/2020-01-01/extension/register", {{"events": events}}, Name=name)
identifier = headers["Lambda-Extension-Identifier"]
print("registered", name, flush=True)
attempts = json.loads(os.environ["ATTEMPTS"])
for where, body in attempts:
    if isinstance(body, dict):
        body = json.dumps(body).replace('"PORT"', str(port)).replace("PORT", str(port))
    status, _, answer = call("PUT", where, body, Identifier=identifier)
    note(attempt=[status, answer])
while True:
    _, _, event = call("GET", "/2020-01-01/extension/event/next", Identifier=identifier)
    note(event=event)
    if event["eventType"] == "SHUTDOWN":
        sys.exit(0)
    if "crashes" in mode and not os.path.exists(path + ".crashed"):
        open(path + ".crashed", "w").close()
        os.kill(os.getpid(), 9)
    if "late" in mode:
        note(late=call("PUT", *attempts[-1], Identifier=identifier)[::2])
"""
TELEMETRY = "/2022-07-01/telemetry"
LOGS = "/2020-08-15/logs"


def subscription(*types: str, **members: Any) -> dict[str, Any]:
    """A subscription; the extension puts in the port that it listens on."""
    return {
        "schemaVersion": "2022-12-13",
        "types": list(types or ("platform", "function", "extension")),
        "buffering": {"timeoutMs": 25},
        "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:PORT/events?of=me"},
    } | members


class TelemetryJournal(Journal):
    """What a subscriber got."""

    @property
    def telemetry(self) -> list[dict[str, Any]]:
        """All events that it took, in their order."""
        return [event for each in self.notes if each.get("status", 200) == 200 for event in each.get("batch", [])]

    def records(self, kind: str) -> list[Any]:
        """Records of a type."""
        return [each["record"] for each in self.telemetry if each["type"] == kind]

    def records_once(self, kind: str) -> list[Any]:
        """Records of a type, each event once: who was killed before its answer went out is given the batch again."""
        found = {json.dumps(each): each["record"] for each in self.telemetry if each["type"] == kind}
        return list(found.values())

    def kinds(self) -> list[str]:
        """Types of the platform's events, in their order."""
        return [each["type"] for each in self.telemetry if each["type"].startswith("platform.")]

    def kinds_once(self) -> list[str]:
        """The same, each event once."""
        once = {json.dumps(each): each["type"] for each in self.telemetry}
        return [kind for kind in once.values() if kind.startswith("platform.")]

    def await_all(self, kind: str, wanted: list[Any]) -> None:
        """Returns once the records of a type are just these, each event once."""
        deadline = time.monotonic() + 90
        while (found := self.records_once(kind)) != wanted:
            assert time.monotonic() < deadline, found
            time.sleep(0.02)

    def await_record(self, kind: str, fits: Callable[[Any], bool] = lambda _: True) -> Any:
        """The first record of a type that fits, once there is one."""
        deadline = time.monotonic() + 90
        while True:
            for found in self.records(kind):
                if fits(found):
                    return found
            assert time.monotonic() < deadline, json.dumps(self.notes)[-3000:]
            time.sleep(0.02)
