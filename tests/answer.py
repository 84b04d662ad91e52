"""What whoever asks over HTTP gets: of an agent, or of a frontend."""

import base64
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """Status, body and headers."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)

    @property
    def log(self) -> str:
        """The decoded tail of the log, where that was asked for."""
        return base64.b64decode(self.headers["X-Amz-Log-Result"]).decode()
