"""What stands before a server and dies in its place: who asks sees a server that comes back with all that it had."""

import sys
from collections.abc import Mapping
from pathlib import Path

from tests.pollers.server_process import ServerProcess

_DOOR = Path(__file__).parent.parent.parent / "e2e" / "images" / "elasticmq" / "door.py"


class Door(ServerProcess):
    """A door before the server at a port of this machine."""

    def __init__(self, folder: Path, port_behind: int) -> None:
        super().__init__(folder)
        self._port_behind = port_behind

    @property
    def url(self) -> str:
        """Where the server is asked."""
        return f"http://127.0.0.1:{self.port}"

    def _command(self) -> tuple[list[str], Mapping[str, str]]:
        return [sys.executable, str(_DOOR), str(self.port), "127.0.0.1", str(self._port_behind)], {}
