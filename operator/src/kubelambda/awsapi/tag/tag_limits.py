"""How many tags one resource may have (§1.3)."""

from collections.abc import Mapping
from typing import Final

from kubelambda.awsapi.api_error import invalid_parameter

TAGS_MAX: Final = 50


def check_tags(tags: Mapping[str, str]) -> None:
    """Refuses more tags than Lambda allows."""
    if len(tags) > TAGS_MAX:
        raise invalid_parameter("Number of tags exceeds resource tag limit.")
