"""The four functions of the official client's native part, over a plain socket instead of libcurl.

A short result and the question for the next event are one `send`, and what is said to both is one `recv`: that a result
was accepted is of no use to anybody before the next event. While the main thread waits, the interpreter runs handlers
of signals by itself. Arguments, results and exceptions are those of the native module `runtime_client`.
"""

import os
import sys
import time
from _socket import IPPROTO_TCP, TCP_NODELAY, socket

TYPE_CHECKING = False  # the module that has it takes long to import
_CHUNK = 65_536
_HEADERS = (
    "Lambda-Runtime-Aws-Request-Id",
    "Lambda-Runtime-Trace-Id",
    "Lambda-Runtime-Invoked-Function-Arn",
    "Lambda-Runtime-Client-Context",
    "Content-Type",
    "Lambda-Runtime-Cognito-Identity",
    "Lambda-Runtime-Aws-Tenant-Id",
    "Lambda-Runtime-Invocation-Id",
)
_DEADLINE = "Lambda-Runtime-Deadline-Ms"
_WANTED = {name.lower(): name for name in (*_HEADERS, _DEADLINE, "Content-Length")}
_NOTHING: dict[str, str | int | None] = dict.fromkeys(_HEADERS)

if TYPE_CHECKING:
    type _Headers = dict[str, str | int | None]
    type _Answer = tuple[int, bytes, _Headers]


class _Broken(Exception):
    """The connection ended, or something else than an answer came."""


class _RuntimeApi:
    """One connection to the Runtime API, made again when it is gone."""

    def __init__(self) -> None:
        self._address = ("", 0)
        self._connection: socket | None = None
        self._received = b""
        """What came behind the answer that was read last."""
        self._next = b""
        self._asked = False
        """Whether the next event was asked for behind a result, and nothing of what is said to both was read."""
        self.tail = b""

    def configure(self, user_agent: str) -> None:  # noqa: ARG002 - the native module's argument
        """Where the Runtime API is. Who asks it is no secret there: fields that nobody reads are not sent."""
        address = os.environ["AWS_LAMBDA_RUNTIME_API"]
        host, _, port = address.partition(":")
        self._address = (host, int(port or 80))
        common = f"Host: {address}\r\n"
        self._next = f"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n{common}\r\n".encode()
        self.tail = f" HTTP/1.1\r\n{common}".encode()

    def call(self, head: bytes, body: bytes = b"") -> "_Answer":
        """Sends a message. Raises `_Broken`, or `OSError` when nobody listens."""
        if self._asked:
            self._close()  # what comes next on this connection is no answer to the message
        if self._connection is not None:
            try:
                return self._exchange(self._connection, head, body)
            except (_Broken, OSError):  # a connection that was idle may be gone; libcurl tries again, too
                self._close()
        self._connection = socket()
        self._connection.connect(self._address)
        self._connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        try:
            return self._exchange(self._connection, head, body)
        except (_Broken, OSError):
            self._close()
            raise

    def call_and_ask(self, head: bytes, body: bytes) -> "_Answer | None":
        """Sends a result, and the question for the next event. None: `next_event` has what is said to both."""
        if self._asked or self._connection is None or len(body) >= _CHUNK:
            return self.call(head, body)
        try:
            self._connection.sendall(head + body + self._next)
        except OSError:
            self._close()
            return self.call(head, body)
        self._asked = True
        return None

    def next_event(self) -> "_Answer":
        """Waits for the next event. Raises `RuntimeError` when the result before it is refused, and as `call`."""
        connection = self._connection
        if self._asked and connection is not None:
            self._asked = False
            try:
                said = self._answer(connection)
                if said[0] < 300:
                    return self._answer(connection)
            except (_Broken, OSError):
                self._close()
            else:
                self._close()  # or the event that was asked for would come to a process that gives up
                raise _refusal(said, "response")
        return self.call(self._next)

    def _exchange(self, connection: socket, head: bytes, body: bytes) -> "_Answer":
        if len(body) < _CHUNK:
            connection.sendall(head + body)
        else:
            connection.sendall(head)
            connection.sendall(body)
        return self._answer(connection)

    def _answer(self, connection: socket) -> "_Answer":
        """The next answer that comes."""
        received = self._received or connection.recv(_CHUNK)
        end = received.find(b"\r\n\r\n")
        while end < 0:
            more = connection.recv(_CHUNK)
            if not more:
                raise _Broken("the connection ended")
            received += more
            end = received.find(b"\r\n\r\n")
        status, headers = _parsed(received[:end])
        length = headers.pop("Content-Length", None)
        if length is None:
            raise _Broken("the answer has no length")
        begun, behind = end + 4, end + 4 + int(length)
        self._received = received[behind:]
        return status, _rest(connection, received[begun:behind], int(length)), headers

    def _close(self) -> None:
        self._received, self._asked = b"", False
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _parsed(head: bytes) -> "tuple[int, _Headers]":
    """The status, and those headers that the client asks for."""
    lines = head.decode("utf-8", "replace").split("\r\n")
    headers = _NOTHING.copy()
    for line in lines[1:]:
        name, _, value = line.partition(":")
        wanted = _WANTED.get(name.lower())
        if wanted is not None:
            headers[wanted] = value.strip() or None
    try:
        return int(lines[0][9:12]), headers
    except ValueError as error:
        raise _Broken(f"no status: {lines[0]}") from error


def _rest(connection: socket, begun: bytes, length: int) -> bytes:
    """The whole body, of which `begun` came with the head."""
    if len(begun) >= length:
        return begun[:length]
    body = bytearray(length)
    body[: len(begun)] = begun
    view, done = memoryview(body), len(begun)
    while done < length:
        count = connection.recv_into(view[done:])
        if not count:
            raise _Broken("the body ended early")
        done += count
    return bytes(body)


_api = _RuntimeApi()
initialize_client = _api.configure


def next() -> "tuple[bytes, _Headers]":  # noqa: A001 - the native module's name
    """The next event and its headers, once it comes. Raises `RuntimeError`, also when the result before is refused."""
    try:
        status, body, headers = _api.next_event()
    except (_Broken, OSError) as error:
        raise RuntimeError("Failed to get next") from error
    if status != 200:
        raise RuntimeError("Failed to get next")
    headers[_DEADLINE] = int(headers.get(_DEADLINE) or 0)
    return body, headers


def post_invocation_result(invoke_id: str, data: bytes, content_type: str, invocation_id: str | None = None) -> None:
    """Answers the invocation with the handler's result. Raises `RuntimeError` when it is refused."""
    _post(f"{invoke_id}/response", data, f"content-type: {content_type}\r\n", invocation_id, "response")


def post_error(invoke_id: str, error: str, xray_cause: str, invocation_id: str | None = None) -> None:
    """Answers the invocation with an error. Raises `RuntimeError` when it is refused."""
    cause = f"lambda-runtime-function-xray-error-cause: {xray_cause}\r\n" if xray_cause else ""
    _post(f"{invoke_id}/error", error.encode(), f"content-type: application/json\r\n{cause}", invocation_id, "error")


def _post(path: str, body: bytes, lines: str, invocation_id: str | None, what: str) -> None:
    if invocation_id is not None:
        lines = f"{lines}lambda-runtime-invocation-id: {invocation_id}\r\n"
    lines = f"{lines}content-length: {len(body)}\r\n\r\n"
    head = f"POST /2018-06-01/runtime/invocation/{path}".encode() + _api.tail + lines.encode()
    try:
        answer = _api.call_and_ask(head, body)
    except (_Broken, OSError) as error:
        raise RuntimeError(f"Failed to post invocation {what}") from error
    if answer is not None and answer[0] >= 300:
        raise _refusal(answer, what)


def _refusal(answer: "_Answer", what: str) -> RuntimeError:
    """What is raised for a result that the Runtime API does not take, once the log has its reason."""
    status, body, _ = answer
    said = f"Http response code: {status}. {body.decode(errors='replace')}"
    stamp = int(time.time() * 1000)
    sys.stderr.write(f"[ERROR] [{stamp}] LAMBDA_RUNTIME Failed to post handler success response. {said}\n")
    return RuntimeError(f"Failed to post invocation {what}")
