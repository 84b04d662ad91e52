"""The ledger of a chaos run: a pod that is never killed, and the functions that tell it what they were given.

`teller` gets everything; `undertaker` the events that are given up by the rules, because `teller` failed three times.
"""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from installation.account import Account
from installation.kubectl import kubectl
from installation.release import platform_image

LEDGER = """
import http.server, json, threading
told, lock = {}, threading.Lock()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        entries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with lock:
            for source, unit, number in entries:
                told.setdefault(source, {}).setdefault(unit, []).append(number)
        self.send_response(200); self.end_headers()
    def do_GET(self):
        with lock:
            body = json.dumps(told).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
"""
TELLER = """
import base64, json, os, urllib.request

def read(event):
    if "requestPayload" in event:
        about, answer = event["requestContext"], event.get("responsePayload") or {}
        why = f"{about['condition']} after {about['approximateInvokeCount']}: {answer.get('errorMessage', '')[-80:]}"
        yield "given up", why, event["requestPayload"]["number"]
    if "number" in event:
        yield "events", "", event["number"]
    for record in event.get("Records", ()):
        service = record["eventSource"].rpartition(":")[2]
        if service == "sqs":
            group = record["attributes"].get("MessageGroupId", "")
            yield ("sqs fifo" if group else "sqs"), group, int(record["body"])
        elif service == "kinesis":
            yield "kinesis", record["kinesis"]["partitionKey"], int(base64.b64decode(record["kinesis"]["data"]))
        else:
            yield "dynamodb", record["dynamodb"]["Keys"]["id"]["S"], int(record["dynamodb"]["NewImage"]["n"]["N"])
    for partition, records in event.get("records", {}).items():
        for record in records:
            yield "kafka", partition, int(base64.b64decode(record["value"]))
    for messages in event.get("rmqMessagesByQueue", {}).values():
        for message in messages:
            yield "rabbitmq", "", int(base64.b64decode(message["data"]))
    for message in event.get("messages", ()):
        yield "activemq", "", int(base64.b64decode(message["data"]))

def handler(event, context):
    data = json.dumps(list(read(event))).encode()
    urllib.request.urlopen(urllib.request.Request(os.environ["LEDGER"], data), timeout=3).read()
"""


@dataclass
class Told:
    """What came of one source: numbers, in the order in which they came, by what keeps its order there."""

    by_unit: dict[str, list[int]] = field(default_factory=dict)

    @property
    def numbers(self) -> set[int]:
        """All that came."""
        return {number for found in self.by_unit.values() for number in found}

    def repeated(self, among: set[int]) -> int:
        """How many of them came twice or more."""
        came = [number for found in self.by_unit.values() for number in found if number in among]
        return len(came) - len(set(came))

    @property
    def in_order(self) -> bool:
        """Whether numbers of one unit came in order, apart from those that came again."""
        return all(_first_of_each(found) == sorted(set(found)) for found in self.by_unit.values())


def _first_of_each(numbers: list[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


def start_ledger(account: Account) -> None:
    """The pod, its Service, and the function `teller`."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "ledger",
        "image": platform_image(),
        "imagePullPolicy": "Never",
        "command": ["python3", "-u", "-c", LEDGER],
        "ports": [{"containerPort": 8000}],
        "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
        "securityContext": security,
    }
    user = {"runAsNonRoot": True, "runAsUser": 993, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "ledger", "labels": {"app": "ledger"}},
        "spec": {"containers": [container], "securityContext": user},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "ledger"},
        "spec": {"selector": {"app": "ledger"}, "ports": [{"port": 8000}]},
    }
    for manifest in (pod, service):
        kubectl("--namespace", account.namespace, "apply", "--filename", "-", stdin=json.dumps(manifest))
    kubectl("--namespace", account.namespace, "wait", "--for=condition=Ready", "pod/ledger", "--timeout=110s")
    variables = {"LEDGER": f"http://ledger.{account.namespace}.svc:8000"}
    # On a machine with too much to do a function may fail three times: what is given up by the rules is not lost.
    account.function("undertaker", TELLER, environment={"variables": variables}, timeout=60)
    told_of = {"destinationConfig": {"onFailure": {"destination": account.arn("undertaker")}}}
    account.function("teller", TELLER, environment={"variables": variables}, timeout=5, eventInvokeConfig=told_of)
    account.client.invoke(FunctionName=account.arn("teller"), Payload=b"{}")


def told(account: Account) -> defaultdict[str, Told]:
    """What came, by source; under "given up" the events that were."""
    program = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8000').read().decode())"
    found: dict[str, Any] = json.loads(
        kubectl("--namespace", account.namespace, "exec", "ledger", "--", "python3", "-c", program)
    )
    return defaultdict(Told, {source: Told(by_unit) for source, by_unit in found.items()})
