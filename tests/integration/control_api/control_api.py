"""The control API as a caller sees it: requests as the AWS SDKs send them, answers as they came."""

import base64
import http.client
import io
import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

DOMAIN = "lambda.test"
ROLE = "arn:aws:iam::123456789012:role/lambda"


def zipped(text: str, name: str = "index.py") -> bytes:
    """An archive with one file: the same bytes for the same text."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as folder:
        folder.writestr(zipfile.ZipInfo(name), text)
    return archive.getvalue()


HELLO = zipped("def handler(event, context):\n    return event\n")


@dataclass(frozen=True)
class Answered:
    """Status, headers (lower case) and body of an answer."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def error(self) -> str:
        """Name of the error; empty for a success."""
        return self.headers.get("x-amzn-errortype", "")

    @property
    def text(self) -> str:
        """Text of the error."""
        return str(self.body.get("message", self.body.get("Message")))


@dataclass(frozen=True)
class Api:
    """A caller in one namespace."""

    address: str
    namespace: str
    account: str

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answered:
        """One request. A body that is not bytes is sent as JSON."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=60)
        try:
            connection.request(method, path, data, {"Host": f"{self.namespace}.{DOMAIN}", **headers})
            response = connection.getresponse()
            content = response.read()
            found = {name.lower(): value for name, value in response.getheaders()}
        finally:
            connection.close()
        decoded = json.loads(content) if found.get("content-type") == "application/json" else content
        return Answered(response.status, found, decoded)

    def known(self, seconds: float = 90) -> None:
        """Returns once the control API has heard of the namespace."""
        deadline = time.monotonic() + seconds
        while (found := self.call("GET", "/2016-08-19/account-settings")).status != 200:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    def create(self, name: str, code: bytes = HELLO, **more: Any) -> Answered:
        """CreateFunction of a function that differs from a good one by `more`; None takes a member away."""
        members = {
            "FunctionName": name,
            "Runtime": "python3.13",
            "Role": ROLE,
            "Handler": "index.handler",
            "Code": {"ZipFile": base64.b64encode(code).decode()},
            **more,
        }
        return self.call("POST", "/2015-03-31/functions", {k: v for k, v in members.items() if v is not None})

    def function(
        self, method: str, name: str, rest: str = "", body: Any = None, *, date: str = "2015-03-31"
    ) -> Answered:
        """A call about one function."""
        return self.call(method, f"/{date}/functions/{quote(name, safe='')}{rest}", body)

    def active(self, name: str, code: bytes = HELLO, **more: Any) -> None:
        """Creates a function and waits until it is active."""
        created = self.create(name, code, **more)
        assert created.status == 201, created
        self.deployed(name)

    def deployed(self, name: str) -> None:
        """Returns once the last change runs.

        It may have failed before: the operator need not have seen yet what kubectl made just before the function.
        """
        self.until(name, lambda found: (found["State"], found.get("LastUpdateStatus")) == ("Active", "Successful"))

    def settled(self, name: str, seconds: float = 90) -> dict[str, Any]:
        """The configuration once no change of it is under way."""

        def done(found: dict[str, Any]) -> bool:
            return found["State"] != "Pending" and found.get("LastUpdateStatus") != "InProgress"

        return self.until(name, done, seconds)

    def until(self, name: str, holds: Callable[[dict[str, Any]], bool], seconds: float = 90) -> dict[str, Any]:
        """The configuration once it `holds`."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.function("GET", name, "/configuration")
            assert found.status == 200, found
            if holds(found.body):
                body: dict[str, Any] = found.body
                return body
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    def arn(self, name: str) -> str:
        """ARN of a function here."""
        return f"arn:aws:lambda:us-east-1:{self.account}:function:{name}"
