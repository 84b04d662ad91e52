"""Which tags a resource may get, and how many (§1.3); how long they may be, and of which characters, its model says."""

from collections.abc import Mapping
from typing import Final

from kubelambda.awsapi.api_error import invalid_parameter

TAGS_MAX: Final = 50
_RESERVED: Final = "aws:"


def check_tags(given: Mapping[str, str], existing: Mapping[str, str] | None = None) -> None:
    """Refuses tags that Lambda lets nobody add to the `existing` ones. Those may be AWS's own: import keeps them."""
    if any(key.lower().startswith(_RESERVED) for key in given):
        raise invalid_parameter("aws: prefixed tag key names are not allowed for external use.")
    if len({**(existing or {}), **given}) > TAGS_MAX:
        raise invalid_parameter("Number of tags exceeds resource tag limit.")
