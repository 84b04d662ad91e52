"""What frontends, agents and pod templates say to each other about one environment (`docs/environment-protocol.md`).

Once for both sides, and of the standard library only: every idle environment pays for what its agent imports.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from kubelambda.api import limits

CONTROL_PORT: Final = 9010
RUNTIME_API_PORT: Final = 9001

ENV_PREFIX: Final = "KUBELAMBDA_"
"""Begins every variable of ours. None of them reaches the function."""
ENV_POOL_TOKEN_SHA256: Final = "KUBELAMBDA_POOL_TOKEN_SHA256"
ENV_RUNTIME: Final = "KUBELAMBDA_RUNTIME"
ENV_BOOTSTRAP: Final = "KUBELAMBDA_BOOTSTRAP"
ENV_PRESTART: Final = "KUBELAMBDA_PRESTART"
ENV_POD_NAMESPACE: Final = "KUBELAMBDA_POD_NAMESPACE"
ENV_POD_NAME: Final = "KUBELAMBDA_POD_NAME"
ENV_POD_UID: Final = "KUBELAMBDA_POD_UID"
ENV_POD_IP: Final = "KUBELAMBDA_POD_IP"

ENV_SHARED_FOLDER: Final = "KUBELAMBDA_SHARED_FOLDER"
"""Of an agent beside the container of a function's own image: the folder that both see."""
ENV_LAUNCHER: Final = "KUBELAMBDA_LAUNCHER"
"""Where the program is that becomes process 1 of that container."""
LAUNCHER: Final = "/usr/lib/kubelambda/launcher"
ROOT_DIRECTORY_ARGUMENT: Final = "root-directory"
"""First argument of an agent that only makes the root directory of an access point: then MODE, FOLDER and GID."""
ENV_TMP_MB: Final = "KUBELAMBDA_TMP_MB"
"""What `/tmp` may hold, in MB; empty: nobody looks."""
ENV_CLOSURE: Final = "KUBELAMBDA_CLOSURE"
"""How an environment that is born closed finds out that it is: the JSON of a `ClosureCheck`."""

ENV_ROOT: Final = "KUBELAMBDA_ROOT"
"""Where `/var/task`, `/opt` and `/var/runtime` are, `/` in a pod: for agents that run beside each other."""
ENV_CONTROL_HOST: Final = "KUBELAMBDA_CONTROL_HOST"
ENV_CONTROL_PORT: Final = "KUBELAMBDA_CONTROL_PORT"
ENV_RUNTIME_API_PORT: Final = "KUBELAMBDA_RUNTIME_API_PORT"

HEALTH: Final = "/healthz"
INITIALIZED: Final = "/initialized"
"""Answers 200 once the environment is a function's and its INIT has succeeded: the readiness of provisioned ones."""
CLAIMABLE: Final = "/claimable"
"""Answers 200 once a function may be handed over: an environment that is born closed has found that it is, and the
container of a function's own image is there."""
SPECIALIZE: Final = "/specialize"
PREPARE: Final = "/prepare"
"""As `/specialize`, answered at once: no code of the function runs before `/begin`."""
BEGIN: Final = "/begin"
"""Lets the function begin that `/prepare` handed over; answers what `/specialize` answers."""
HOLD: Final = "/hold"
"""Makes an idle environment unpack layers ahead of a function that has them."""
INVOKE: Final = "/invoke"
STATE: Final = "/state"

CONFIG_LENGTH: Final = "X-Kubelambda-Config-Length"
"""Of `/specialize`: bytes of the message, which archives may follow."""
REQUEST_ID: Final = "X-Amzn-RequestId"
INVOKED_ARN: Final = "X-Kubelambda-Arn"
TRACE_ID: Final = "X-Amzn-Trace-Id"
CLIENT_CONTEXT: Final = "X-Amz-Client-Context"
LOG_TYPE: Final = "X-Amz-Log-Type"
FUNCTION_ERROR: Final = "X-Amz-Function-Error"
LOG_RESULT: Final = "X-Amz-Log-Result"
RETIRE: Final = "X-Kubelambda-Retire"
"""Of an answer to `/invoke`: the environment takes nothing more."""
BUSY: Final = "X-Kubelambda-Busy"
"""Of an answer to `/invoke`: all of it is here, and the environment is not free yet. `/state` says when it is."""
TERM: Final = "X-Kubelambda-Term"
"""Of `/specialize` and `/state`: names the time in which the sender owns the function, from now on. Of `/invoke` by a
frontend that holds a lease: the time in which that was granted; refused when another has begun since."""
BILLED_MS: Final = "X-Kubelambda-Billed-Ms"
"""Of an answer to `/invoke`: milliseconds that are billed, as the REPORT line says."""
STREAM: Final = "X-Kubelambda-Stream"
"""Of `/invoke`: the sender takes an answer as it comes, within these `StreamBounds`. It comes in chunks then, and its
trailers say what the headers of a whole answer do."""
ERROR_BODY: Final = "X-Kubelambda-Error-Body"
"""Of the trailers, beside `FUNCTION_ERROR`: the error JSON, in base64."""

type InitializationType = Literal["on-demand", "provisioned-concurrency"]
"""Why an environment was started, as AWS_LAMBDA_INITIALIZATION_TYPE says it (§3.4.4)."""


class UnusableMessage(Exception):
    """A message that cannot be understood; the text says why."""


@dataclass(frozen=True, slots=True)
class ClosureCheck:
    """How an environment finds out that the policy which closes it holds."""

    refused: str
    """`host:port` that every environment but a closed one reaches; empty: nobody checks, and time has to do."""
    allowed: str
    """`host:port` that closed ones reach too: who does not reach it either has no network yet."""
    seconds: float
    """How long it must be found closed without a break."""

    def encode(self) -> str:
        """As the variable has it."""
        return json.dumps(asdict(self))


def parse_closure_check(text: str) -> ClosureCheck:
    """The check out of its variable. Raises `UnusableMessage`."""
    try:
        found = json.loads(text)
        return ClosureCheck(str(found["refused"]), str(found["allowed"]), float(found["seconds"]))
    except (ValueError, TypeError, KeyError) as error:
        raise UnusableMessage(f"{ENV_CLOSURE} is no check: {error}") from error


@dataclass(frozen=True, slots=True)
class StreamBounds:
    """How much of an answer is streamed, and how quickly after a first burst (§2.4.2); 0 bytes a second: at once."""

    max_bytes: int = limits.STREAM_MAX_BYTES
    burst_bytes: int = limits.STREAM_BURST_BYTES
    bytes_per_second: int = limits.STREAM_BYTES_PER_S

    def encode(self) -> str:
        """As the header has it."""
        return f"{self.max_bytes},{self.burst_bytes},{self.bytes_per_second}"


def parse_stream_bounds(text: str) -> StreamBounds:
    """The bounds out of the header; Lambda's for what cannot be read."""
    try:
        found = [int(each) for each in text.split(",")]
        return StreamBounds(found[0], found[1], found[2])
    except (ValueError, IndexError):
        return StreamBounds()


@dataclass(frozen=True, slots=True)
class ArchiveReference:
    """An archive: its digest in hex, its size in bytes, and where it is when it does not come along."""

    sha256: str
    size: int
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Specialization:
    """The message of `/specialize`: the function that an environment becomes. Memory in MB, times as named."""

    token: str
    """Authorises every later call."""
    name: str
    uid: str
    """Of the Function object."""
    arn: str
    """Unqualified."""
    account_id: str
    version: str
    """`$LATEST` or a number."""
    revision: str
    runtime: str
    handler: str
    memory_size: int
    timeout: float
    """Of an invocation, in seconds."""
    log_group: str
    region: str
    code: ArchiveReference | None = None
    """None: the image brings it."""
    layers: tuple[ArchiveReference, ...] = ()
    """Unpacked into `/opt` in this order; a later one wins."""
    initialization_type: InitializationType = "on-demand"
    init_timeout: float = limits.INIT_TIMEOUT_S
    """How long INIT may take before it is run again inside the first invocation, in seconds (§3.3)."""
    billing_increment_ms: int = limits.BILLING_INCREMENT_MS
    """Billed durations are multiples of it (§9.4)."""
    variables: dict[str, str] = field(default_factory=dict)
    """The function's own."""
    command: tuple[str, ...] = ()
    """What a container image runs: entry point and command. Empty: a runtime runs the code."""
    working_directory: str = ""
    """Where it runs; empty: where its container is."""

    @property
    def inline(self) -> list[ArchiveReference]:
        """The archives that follow the message, in this order and without anything between them."""
        everything = [*([self.code] if self.code else []), *self.layers]
        return [archive for archive in everything if archive.url is None]

    def encode(self) -> bytes:
        """The message as it is sent."""
        function = {_camel(name): getattr(self, name) for name in _FUNCTION_FIELDS}
        message: dict[str, Any] = {
            "token": self.token,
            "function": function,
            "environment": self.variables,
            "layers": [_written(layer) for layer in self.layers],
        }
        if self.command:
            message |= {"command": list(self.command), "workingDirectory": self.working_directory}
        if self.code is not None:
            message["code"] = _written(self.code)
        return json.dumps(message).encode()


_FUNCTION_FIELDS: Final[dict[str, tuple[type, ...]]] = {
    "name": (str,),
    "uid": (str,),
    "arn": (str,),
    "account_id": (str,),
    "version": (str,),
    "revision": (str,),
    "runtime": (str,),
    "handler": (str,),
    "memory_size": (int,),
    "timeout": (int, float),
    "log_group": (str,),
    "region": (str,),
    "initialization_type": (str,),
    "init_timeout": (int, float),
    "billing_increment_ms": (int,),
}
_LATER: Final = {"uid": "", "initTimeout": limits.INIT_TIMEOUT_S, "billingIncrementMs": limits.BILLING_INCREMENT_MS}
"""Fields that frontends of an earlier release do not send, and what they mean by it."""


def parse_specialization(data: bytes) -> Specialization:
    """The message out of what was sent. Fields of a later release are ignored. Raises `UnusableMessage`."""
    try:
        found = json.loads(data)
        function = _LATER | found["function"]
        given = {name: _typed(name, function[_camel(name)], kinds) for name, kinds in _FUNCTION_FIELDS.items()}
        variables = found["environment"]
        for name, value in variables.items():
            _typed(name, value, (str,))
        return Specialization(
            token=_typed("token", found["token"], (str,)),
            code=_archive(found["code"]) if found.get("code") is not None else None,
            layers=tuple(_archive(layer) for layer in found.get("layers", [])),
            variables=variables,
            command=tuple(_typed("command", each, (str,)) for each in found.get("command", [])),
            working_directory=_typed("workingDirectory", found.get("workingDirectory", ""), (str,)),
            **given,
        )
    except KeyError as error:
        raise UnusableMessage(f"the message lacks {error}") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UnusableMessage(f"the message is no configuration: {error}") from error


def encode_layers(layers: Sequence[ArchiveReference]) -> bytes:
    """The message of `/hold`: layers that are fetched from their addresses, in their order."""
    return json.dumps({"layers": [_written(layer) for layer in layers]}).encode()


def parse_layers(data: bytes) -> tuple[ArchiveReference, ...]:
    """The layers out of what was sent. Raises `UnusableMessage`."""
    try:
        return tuple(_archive(layer) for layer in json.loads(data)["layers"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UnusableMessage(f"the message lists no layers: {error}") from error


@dataclass(frozen=True, slots=True)
class EnvironmentState:
    """The answer of `/state`: what an environment says of itself."""

    specialized: bool = False
    """Whether it was claimed for a function, ever."""
    function_uid: str | None = None
    function: str | None = None
    version: str | None = None
    revision: str | None = None
    initialization_type: str | None = None
    initializing: bool = False
    """Whether the code is being unpacked or INIT runs."""
    awaits_begin: bool = False
    """Whether it initializes, and no code of its function runs before a `/begin`."""
    busy: bool = False
    """Whether it can take no invocation now: it initializes, or runs one."""
    request_id: str | None = None
    """The invocation that it runs."""
    finished: bool = False
    """Whether it can take none ever again: its code or its INIT failed."""
    draining: bool = False
    invocations: int = 0
    lost_log_bytes: int = 0
    """Of its log, that were dropped since nobody collected them."""
    last_billed_ms: int = 0
    """What is billed for the last invocation that went on after its answer, all in all."""
    last_extensions_ms: float = 0.0
    """How long extensions went on with it after its runtime was done."""

    def encode(self) -> bytes:
        """The answer as it is sent."""
        return json.dumps({_camel(name): value for name, value in asdict(self).items()}).encode()


def parse_state(data: bytes) -> EnvironmentState:
    """The answer out of what was sent; what a later release says more is ignored. Raises `UnusableMessage`."""
    try:
        found = json.loads(data)
        names = {_camel(name): name for name in EnvironmentState.__dataclass_fields__}
        known = {names[name]: value for name, value in found.items() if name in names}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UnusableMessage(f"the state cannot be read: {error}") from error
    return EnvironmentState(**known)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def _written(archive: ArchiveReference) -> dict[str, Any]:
    return {name: value for name, value in asdict(archive).items() if value is not None}


def _archive(found: Any) -> ArchiveReference:
    url = found.get("url")
    return ArchiveReference(
        _typed("sha256", found["sha256"], (str,)),
        _typed("size", found["size"], (int,)),
        None if url is None else _typed("url", url, (str,)),
    )


def _typed(name: str, value: Any, kinds: tuple[type, ...]) -> Any:
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise TypeError(f"{name!r} is no {' or '.join(kind.__name__ for kind in kinds)}")
    return value
