"""What the API server does not take, in words that a caller of Lambda's API understands."""

import re
from typing import Final

from kubelambda.awsapi.api_error import ApiError, invalid_parameter, unavailable
from kubelambda.kube.errors import Forbidden, Invalid, KubeError

_SUBJECT = re.compile(r'^\d+: (?:[\w.]+ "[^"]*" is (?:invalid|forbidden): )?')
_FIELD = re.compile(
    r"(?:<nil>|(?:spec|metadata)[\w.\[\]-]*): (?:Invalid value|Forbidden|Required value|Too (?:many|long)): "
)
_VALUE: Final = r'^(?:"[^"]*"|-?[\d.]+|true|false|null): '
_UNKNOWN = re.compile(r'unknown field "spec\.([^"]+)"')


def refusal(error: KubeError) -> ApiError:
    """The error that a caller gets for one of the API server's."""
    match error:
        case Invalid():
            return invalid_parameter(words(str(error)))
        case Forbidden():
            return ApiError("AccessDeniedException", _SUBJECT.sub("", str(error)))
    return unavailable(f"The cluster's API server cannot be used now: {error}")


def _member(field: str) -> str:
    """A field as the caller named it: only members of the API get into a spec."""
    return ".".join(name[:1].upper() + name[1:] for name in field.split("."))


def words(message: str) -> str:
    """The API server's message without its own grammar: what rules say is Lambda's text where Lambda has one."""
    unknown = _UNKNOWN.findall(message)
    if unknown:
        names = " and ".join(dict.fromkeys(map(_member, unknown)))
        return f"{names} is not served by this release of kubelambda and would be ignored: remove it"
    message = _SUBJECT.sub("", message)
    if message.startswith("[") and message.endswith("]"):
        message = message[1:-1]
    parts = [re.sub(_VALUE, "", part.removesuffix(", ")) for part in _FIELD.split(message) if part]
    return "; ".join(parts)
