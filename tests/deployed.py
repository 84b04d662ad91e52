"""What a Function or FunctionVersion has deployed, as its status says it."""

from typing import Any, Final

DEPLOYED: Final[dict[str, Any]] = {
    "revision": "a" * 16,
    "runtime": "python3.13",
    "handler": "index.handler",
    "code": {"sha256": "0" * 64, "size": 1},
    "memorySize": 128,
    "timeout": 3,
    "logGroup": "/aws/lambda/f",
}
