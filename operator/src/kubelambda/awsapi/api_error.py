"""Lambda's errors as the control API answers them; the service model knows status and member of each (§0.2, §0.3)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kubelambda.awsapi.model.service_model import ServiceModel

# Not in the model: what AWS answers in front of the service itself, and what only we say.
_STATUSES: Final = {
    "ValidationException": 400,
    "SerializationException": 400,
    "UnknownOperationException": 404,
    "NotServedException": 501,
    "RequestEntityTooLargeException": 413,
    "ServiceUnavailableException": 503,
    "InternalServiceException": 500,
}
_IN_FRONT: Final = {
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "UnrecognizedClientException",
}
# Application Auto Scaling has other names for the same.
_OF_JSON_SERVICES: Final = {
    "InvalidParameterValueException": "ValidationException",
    "ResourceNotFoundException": "ObjectNotFoundException",
    "ResourceConflictException": "ConcurrentUpdateException",
    "ServiceException": "InternalServiceException",
    "ServiceUnavailableException": "InternalServiceException",
}


@dataclass(frozen=True)
class ApiError(Exception):
    """One error answer. `type` is the name of its shape."""

    type: str
    text: str
    members: Mapping[str, Any] = field(default_factory=dict)

    def answer(self, model: ServiceModel) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        kind = _OF_JSON_SERVICES.get(self.type, self.type) if model.target_prefix else self.type
        status, member = model.error(kind)
        status = _STATUSES.get(kind, status)
        if kind in _IN_FRONT:  # JSON services answer all of it with 400
            status = 400 if model.target_prefix else 403
            member = "Message" if kind == "AccessDeniedException" else member
        headers = {"x-amzn-ErrorType": kind}
        if kind == "TooManyRequestsException":
            headers["Retry-After"] = "1"
        body = {"Type": "User" if status < 500 else "Service", **self.members, member: self.text}
        if model.target_prefix:
            body = {"__type": kind, member: self.text}
        return status, headers, json.dumps(body).encode()


def invalid_parameter(text: str) -> ApiError:
    """A parameter contradicts another, or what exists (§0.5)."""
    return ApiError("InvalidParameterValueException", text)


def not_found(text: str) -> ApiError:
    """What was named does not exist."""
    return ApiError("ResourceNotFoundException", text)


def conflict(text: str) -> ApiError:
    """What exists is in the way, or changes right now."""
    return ApiError("ResourceConflictException", text)


def stale(operation: str) -> ApiError:
    """The RevisionId is not the latest one; `operation` is what returns that (§1.4.7)."""
    text = "The Revision Id provided does not match the latest Revision Id. Call the "
    return ApiError("PreconditionFailedException", f"{text}{operation} API to retrieve the latest Revision Id")


def not_served(operation: str) -> ApiError:
    """An operation of Lambda that this release does not have."""
    text = f"{operation} is not served by this release of kubelambda: nothing was done."
    return ApiError("NotServedException", text)


def unavailable(text: str) -> ApiError:
    """Something of ours does not answer; nothing half-made is left behind."""
    return ApiError("ServiceUnavailableException", text)
