"""boto3 itself as the caller: one process of the environment that has it, asked over its standard input."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PROGRAM = """
import datetime, json, sys, urllib.error, urllib.request
import boto3, botocore.auth
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

now = botocore.auth.get_current_datetime
clients = {}


def client_for(call):
    key = (call["service"], call["endpoint"], call["key"], call["secret"], call["token"], call["region"])
    if key not in clients:
        config = {"retries": {"max_attempts": 0}, "read_timeout": 60}
        if call["key"] is None:
            config["signature_version"] = UNSIGNED
        clients[key] = boto3.client(
            call["service"],
            endpoint_url=call["endpoint"],
            region_name=call["region"],
            aws_access_key_id=call["key"],
            aws_secret_access_key=call["secret"],
            aws_session_token=call["token"],
            config=Config(**config),
        )
    return clients[key]


def event_of(event):
    if "PayloadChunk" in event:
        event["PayloadChunk"]["Payload"] = event["PayloadChunk"]["Payload"].decode("latin-1")
    return event


def answer(call):
    skew = datetime.timedelta(seconds=call["skew"])
    botocore.auth.get_current_datetime = lambda *a, **k: now(*a, **k) + skew
    client = client_for(call)
    parameters = call["parameters"]
    if "Payload" in parameters:
        parameters["Payload"] = parameters["Payload"].encode()
    if "Code" in parameters:
        parameters["Code"]["ZipFile"] = bytes.fromhex(parameters["Code"]["ZipFile"])
    if "Content" in parameters:
        parameters["Content"]["ZipFile"] = bytes.fromhex(parameters["Content"]["ZipFile"])
    if call["presigned"]:
        url = client.generate_presigned_url(call["operation"], Params=parameters, ExpiresIn=60)
        data = b"" if call["presigned"] == "POST" else None
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data=data, method=call["presigned"])) as found:
                return {"status": found.status, "error": "", "text": "", "members": json.loads(found.read() or b"null")}
        except urllib.error.HTTPError as error:
            body = json.loads(error.read())
            text = body.get("message", body.get("Message"))
            return {"status": error.code, "error": error.headers["x-amzn-ErrorType"], "text": text, "members": None}
    try:
        found = getattr(client, call["operation"])(**parameters)
    except ClientError as error:
        found = error.response
        status = found["ResponseMetadata"]["HTTPStatusCode"]
        return {"status": status, "error": found["Error"]["Code"], "text": found["Error"]["Message"], "members": None}
    status = found.pop("ResponseMetadata")["HTTPStatusCode"]
    if "EventStream" in found:
        found["EventStream"] = [event_of(event) for event in found["EventStream"]]
    if "Payload" in found:
        found["Payload"] = found["Payload"].read().decode()
    return {"status": status, "error": "", "text": "", "members": json.loads(json.dumps(found, default=str))}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
"""


@dataclass(frozen=True)
class BotoAnswer:
    """What boto3 made of an answer."""

    status: int
    error: str
    text: str
    members: Any


class BotoCaller:
    """Calls one at a time, each with credentials of its own."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        python = str(ROOT / ".venv-e2e" / "bin" / "python")
        self._process = subprocess.Popen(
            [python, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __call__(
        self,
        operation: str,
        parameters: dict[str, Any] | None = None,
        *,
        key: str | None = None,
        secret: str = "",
        token: str | None = None,
        skew: float = 0,
        presigned: str = "",
        service: str = "lambda",
        region: str = "us-east-1",
    ) -> BotoAnswer:
        """One call. Without a key it is not signed; `presigned` is the method by which its address is asked."""
        call = {
            "operation": operation,
            "parameters": parameters or {},
            "key": key,
            "secret": secret or None,
            "token": token,
            "skew": skew,
            "presigned": presigned,
            "service": service,
            "region": region,
            "endpoint": self.endpoint,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        return BotoAnswer(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate(timeout=90)
