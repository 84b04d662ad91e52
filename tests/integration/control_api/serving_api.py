"""An installation whose control API can be called."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.control_api.control_api import DOMAIN
from tests.integration.control_plane import SYSTEM_NAMESPACE, ControlPlane
from tests.integration.processes import Installation


@contextmanager
def serving_api(
    folder: Path, control_plane: ControlPlane, *, fetcher: bool = False, **settings: Any
) -> Iterator[tuple[Installation, str]]:
    """Code store, operator, control API and, where `fetcher` says so, a code fetcher; and the control API's address."""
    found = Installation(folder, control_plane, SYSTEM_NAMESPACE, endpointDomain=DOMAIN, **settings)
    found.code_store()
    if fetcher:
        found.code_fetcher()
    found.operator()
    _, address = found.control_api()
    yield found, address
    found.stop()
