"""Code that is an OCI artifact on the real cluster: out of a real registry that wants a password."""

import io
import json
import zipfile
from collections.abc import Iterator

import pytest

from installation import artifact_registry
from installation.account import Account
from installation.artifact_registry import ADDRESS
from installation.kubectl import eventually, kubectl

NAME = f"{ADDRESS}/teams/app:latest"


@pytest.fixture(scope="module", autouse=True)
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The registry, on this cluster's node."""
    try:
        with artifact_registry.serving(tmp_path_factory.mktemp("registry")):
            yield
    except OSError:
        pytest.skip("needs the cluster's node, and Debian's registry, on this machine")


def pushed(answer: int) -> str:
    """Pushes a function that answers so; the digest of the artifact."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as folder:
        folder.writestr("index.py", f"def handler(event, context):\n    return {answer}\n")
    return artifact_registry.push("teams/app", archive.getvalue())


def test_an_artifact_is_fetched_with_its_pull_secret_and_pinned(account: Account) -> None:
    """Without the Secret it is denied; a tag that moves changes nothing until the function names the digest."""
    digest = pushed(1)
    code = {"oci": {"reference": NAME, "pullSecret": {"name": "registry"}}}
    account.function("artifact", code=code, ready=False)

    def denied() -> bool:
        return "there is no Secret registry" in account.get("function", "artifact")["status"]["stateReason"]

    eventually(denied)
    secret = json.dumps(artifact_registry.pull_secret("registry"))
    kubectl("--namespace", account.namespace, "apply", "--filename", "-", stdin=secret)
    account.wait_ready("artifact", timeout=120)
    assert account.invoke("artifact")["Payload"] == 1
    deployed = account.get("function", "artifact")["status"]["deployed"]["code"]
    assert deployed["resolved"] == f"{ADDRESS}/teams/app@sha256:{digest}"
    moved = pushed(2)
    account.function("artifact", code=code, timeout=9)
    assert account.invoke("artifact")["Payload"] == 1
    code["oci"]["reference"] = f"{ADDRESS}/teams/app@sha256:{moved}"
    account.function("artifact", code=code, timeout=9)
    eventually(lambda: account.invoke("artifact")["Payload"] == 2)
