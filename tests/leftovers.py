"""Connections that are left to the garbage collector, where clients of others' making speak to real servers."""

from collections.abc import Iterable

import pytest

_FOUND = r"default:Exception ignored in. <(socket\.|function _\w*Transport\.):pytest.PytestUnraisableExceptionWarning"


def show_leftovers(items: Iterable[pytest.Item], folder: str) -> None:
    """Has those that are found in tests of a folder of `tests` shown at the end of the session, and fail none of them.

    The test that runs when the collector finds one did not leave it. Where a server, or the loop, stands still at the
    wrong moment, others' clients leave some. The tests of our own connections, in `tests/unit`, are as strict as ever.
    """
    for item in items:
        if item.nodeid.startswith(f"tests/{folder}/"):
            item.add_marker(pytest.mark.filterwarnings(_FOUND))
