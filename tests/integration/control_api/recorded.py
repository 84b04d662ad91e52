"""`recorded.yaml` as values."""

import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import yaml
from tests.integration.control_api.control_api import HELLO, Api

_MANY = re.compile(r"\{(\d+) (\w)\}")


@dataclass(frozen=True)
class Recorded:
    """One recorded exchange. `text` is empty for a success."""

    section: str
    operation: str
    what: str
    request: str
    status: int
    error: str = ""
    text: str = ""
    body: Any = None

    def __str__(self) -> str:
        return f"{self.operation}-{self.what}".replace(" ", "-")


ANSWERS: Final = [
    Recorded(**{"error": "", "text": "", "body": None, **row})
    for row in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
]


def filled(value: Any, api: Api) -> Any:
    """Without placeholders, in a text or anywhere in a body."""
    if not isinstance(value, str):
        return json.loads(filled(json.dumps(value), api))
    arn = api.arn("")
    archive = base64.b64encode(HELLO).decode()
    layers = f"arn:aws:lambda:us-east-1:{api.account}:layer:"
    known = {"{account}": api.account, "{arn}": arn, "{url}": quote(arn, safe=""), "{zip}": archive}
    known |= {"{layers}": layers, "{layers_url}": quote(layers, safe="")}
    for name, found in known.items():
        value = value.replace(name, found)
    return _MANY.sub(lambda match: match[2] * int(match[1]), value)
