"""An external extension of a test's own, in the Python of the tests, and what it noted down."""

import io
import json
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

SCRIPT = """#!{python}
import json, os, sys, time, urllib.error, urllib.request

name = os.path.basename(sys.argv[0])
mode = os.environ.get("MODE", "").split()
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2020-01-01/extension/"

def note(**what):
    with open(os.environ["JOURNAL"], "a") as journal:
        journal.write(json.dumps({{"name": name, "pid": os.getpid()}} | what) + "\\n")

def call(method, path, body=None, **headers):
    named = {{"Lambda-Extension-" + key.replace("_", "-"): value for key, value in headers.items()}}
    request = urllib.request.Request(api + path, body and json.dumps(body).encode(), named, method=method)
    with urllib.request.urlopen(request) as answer:
        return answer.headers, json.loads(answer.read())

if "dies" in mode:
    sys.exit(3)
if "mute" in mode:
    time.sleep(600)
events = os.environ.get("EVENTS", "INVOKE SHUTDOWN").split()
headers, function = call("POST", "register", {{"events": events}}, Name=name, Accept_Feature="accountId")
identifier = headers["Lambda-Extension-Identifier"]
note(registered=function, identifier=identifier, variables=dict(os.environ))
if "init-error" in mode:
    call("POST", "init/error", {{}}, Identifier=identifier, Function_Error_Type="Tracer.NoKey")
    time.sleep(600)
while True:
    headers, event = call("GET", "event/next", Identifier=identifier)
    note(event=event, event_id=headers["Lambda-Extension-Event-Identifier"])
    if event["eventType"] == "SHUTDOWN":
        time.sleep(600 if "stubborn" in mode else 0)
        note(bye=True)
        sys.exit(0)
    if "crashes" in mode:
        os.kill(os.getpid(), 9)
    if "exit-error" in mode:
        call("POST", "exit/error", {{}}, Identifier=identifier, Function_Error_Type="Tracer.Lost")
        time.sleep(600)
    while "gated" in mode and not os.path.exists(os.environ["JOURNAL"] + ".gate-" + event["requestId"]):
        time.sleep(0.02)
"""


def layer(*names: str, script: str = SCRIPT) -> bytes:
    """A layer with the extension under some names, and with a file beside it that is none."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as folder:
        for name in names:
            entry = zipfile.ZipInfo(f"extensions/{name}")
            entry.external_attr = 0o100755 << 16
            folder.writestr(entry, script.format(python=sys.executable))
        folder.writestr(zipfile.ZipInfo("extensions/readme"), "text")
    return archive.getvalue()


class Journal:
    """What extensions noted down."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def notes(self) -> list[dict[str, Any]]:
        """All of it so far."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def of(self, what: str) -> list[Any]:
        """All that was noted under a word."""
        return [each[what] for each in self.notes if what in each]

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The events of a kind that were received."""
        return [each for each in self.of("event") if each["eventType"] == kind]

    def await_events(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """Waits until there are as many of a kind."""
        deadline = time.monotonic() + 90
        while len(found := self.events(kind)) < count:
            assert time.monotonic() < deadline, self.notes
            time.sleep(0.02)
        return found

    def open_gate(self, request_id: str) -> None:
        """Lets a gated extension go on after an invocation."""
        self.path.with_name(f"{self.path.name}.gate-{request_id}").touch()
