"""Published functions, and the alias `live` in front of them."""

from typing import Any

from installation import api_server
from installation.account import Account
from installation.kubectl import eventually

TOLD = """
import os, time

def handler(event, context):
    time.sleep((event or {}).get("seconds", 0.02))
    return {
        "code": CODE,
        "version": context.function_version,
        "kind": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
        "stream": context.log_stream_name,
    }
"""


def source(code: int) -> str:
    """A handler that says which code it is, and what it was told."""
    return f"CODE = {code}\n{TOLD}"


def publish(account: Account, name: str, number: int, code: str = "", **spec: Any) -> None:
    """Deploys a function that publishes every change, and waits for its version `number`."""
    account.function(name, code or source(number), publish=True, timeout=10, **spec)

    def there() -> bool:
        versions = api_server.found("functionversions", namespace=account.namespace)["items"]
        return any(
            found["spec"]["functionName"] == name and found.get("status", {}).get("version") == str(number)
            for found in versions
        )

    eventually(there)


def alias(account: Account, name: str, version: int, provisioned: int | None = None, **spec: Any) -> None:
    """The alias `live` of a function."""
    if provisioned is not None:
        spec["provisionedConcurrency"] = {"provisionedConcurrentExecutions": provisioned}
    spec |= {"functionName": name, "name": "live", "functionVersion": str(version)}
    account.apply({"kind": "Alias", "metadata": {"name": f"{name}-live"}, "spec": spec})


def status(account: Account, name: str) -> Any:
    """The status of the alias `live`."""
    return account.get("alias", f"{name}-live").get("status", {})


def provisioned(account: Account, name: str) -> Any:
    """What the alias says of its provisioned environments."""
    return status(account, name).get("provisionedConcurrency", {})
