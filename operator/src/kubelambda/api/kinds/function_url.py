"""The HTTP address of a function or of an alias: who may call it, and what browsers are told (§2.5)."""

from typing import Annotated, Literal

from pydantic import Field

from kubelambda.api.model import Model

_Header = Annotated[str, Field(pattern=r"^([*]|[!#$%&'*+.^_`|~0-9A-Za-z-]+)$", max_length=1024)]
_Origin = Annotated[str, Field(pattern=r"^[\x21-\x7e]+$", min_length=1, max_length=253)]


class Cors(Model):
    """Cross-origin resource sharing. Once there is one, headers of that kind that the function sets count no more."""

    allow_credentials: bool | None = None
    """Whether browsers may send cookies and credentials."""
    allow_headers: Annotated[list[_Header], Field(max_length=100)] = []
    """Headers that scripts may send; `*`: all."""
    allow_methods: Annotated[
        list[Literal["*", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]], Field(max_length=6)
    ] = []
    """Methods that scripts may use; `*`: all."""
    allow_origins: Annotated[list[_Origin], Field(max_length=100)] = []
    """Pages that may call, as `https://example.com`, `https://*` or `*`."""
    expose_headers: Annotated[list[_Header], Field(max_length=100)] = []
    """Headers of the answer that scripts may read."""
    max_age: Annotated[int, Field(ge=0, le=86_400)] | None = None
    """Seconds for which browsers may remember all this."""


class FunctionUrl(Model):
    """An HTTP address. Its host is in the status; the resource policy decides who may call it."""

    auth_type: Literal["NONE", "AWS_IAM"]
    """NONE: callers need not say who they are. AWS_IAM: they sign, or bring a token of Kubernetes."""
    invoke_mode: Literal["BUFFERED", "RESPONSE_STREAM"] = "BUFFERED"
    """BUFFERED: answers are sent once they are complete. RESPONSE_STREAM: as they come."""
    cors: Cors | None = None
    """What browsers are told; absent: nothing but what the function says."""
