"""Names of objects for Lambda's names of functions, which may be longer and have capitals and underscores (§1.2.1)."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from kubelambda.api import limits

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_DIGITS: Final = 10
_STEM_MAX_CHARS: Final = limits.FUNCTION_NAME_MAX_CHARS - _DIGITS - 1


def object_names(function_name: str) -> tuple[str, ...]:
    """Names that the object of a function can have, the preferred one first; `spec.functionName` says whose it is.

    A name that Kubernetes takes is the object's own, unless another function's object is already called that.
    """
    digest = hashlib.sha256(function_name.encode()).hexdigest()[:_DIGITS]
    stem = re.sub(r"[^a-z0-9-]+", "-", function_name.lower())[:_STEM_MAX_CHARS].strip("-") or "function"
    derived = f"{stem}-{digest}"
    fits = len(function_name) <= limits.FUNCTION_NAME_MAX_CHARS and _LABEL.fullmatch(function_name)
    return (function_name, derived) if fits else (derived,)


def function_name_of(body: Mapping[str, Any]) -> str:
    """Lambda's name of a Function object: what its spec says, else the object's own."""
    name: str = (body.get("spec") or {}).get("functionName") or body["metadata"]["name"]
    return name
