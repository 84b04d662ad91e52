"""One installation after the other runs against a control plane, and modules that want the same one share it."""

from typing import Any

import pytest
from tests.integration.control_plane import SYSTEM_NAMESPACE, ControlPlane
from tests.integration.processes import Installation


class Stage:
    """What runs of ours: one installation at a time, as two operators of different settings would share one lease.

    A start costs seconds, so an installation stays for the next module that asks for the same; one that lost a
    component does not.
    """

    def __init__(self, control_plane: ControlPlane, folders: pytest.TempPathFactory) -> None:
        self._control_plane = control_plane
        self._folders = folders
        self._wanted: tuple[bool, bool, dict[str, Any]] | None = None
        self.found: Installation | None = None
        """What runs now."""
        self._address = ""

    def operated(self, *, fetcher: bool = False, **settings: Any) -> Installation:
        """An installation with these settings, whose code store and operator run, and a code fetcher if wanted."""
        return self._running(fetcher, False, settings)

    def serving(self, **settings: Any) -> tuple[Installation, str]:
        """One whose code fetcher and control API run as well, and the address of the last."""
        return self._running(True, True, settings), self._address

    def clear(self) -> None:
        """Nothing of ours runs any more: for whoever starts something by itself."""
        found, self._wanted, self.found = self.found, None, None
        if found is not None:
            found.stop()

    def _running(self, fetcher: bool, control_api: bool, settings: dict[str, Any]) -> Installation:
        wanted = fetcher, control_api, settings
        if self.found is not None and self._wanted == wanted and self.found.whole:
            return self.found
        self.clear()
        found = Installation(self._folders.mktemp("installation"), self._control_plane, SYSTEM_NAMESPACE, **settings)
        self.found, self._wanted = found, wanted
        found.code_store()
        if fetcher:
            found.code_fetcher()
        found.operator()
        if control_api:
            _, self._address = found.control_api()
        return found


def asks_for_what_runs(item: pytest.Item) -> bool:
    """Whether a test goes on with what the module before it left running."""
    return not {"running", "serving"}.isdisjoint(getattr(item, "fixturenames", ()))
