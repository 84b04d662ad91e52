"""Code signing on a real cluster: the example as it stands, and code that nobody signed (§1.5.4)."""

import base64
import io
import zipfile
from pathlib import Path

from installation.account import Account
from installation.kubectl import eventually, kubectl

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "signed.yaml"


def test_the_example_runs_and_takes_no_other_code(account: Account) -> None:
    """`examples/signed.yaml`: signed code is invoked; unsigned code is refused, and what was there answers on."""
    kubectl("--namespace", account.namespace, "apply", "--filename", str(EXAMPLE))
    account.wait_ready("signed")
    assert account.invoke("signed")["Payload"] == {"signed": True}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as folder:
        folder.writestr("index.py", "def handler(event, context):\n    return {'signed': False}\n")
    code = base64.b64encode(archive.getvalue()).decode()
    patch = f'{{"spec": {{"code": {{"zipFile": "{code}"}}}}}}'
    kubectl("--namespace", account.namespace, "patch", "function", "signed", "--type=merge", "--patch", patch)

    def refused() -> bool:
        status = account.get("function", "signed")["status"]
        return "the code: it is not signed" in status.get("lastUpdateStatusReason", "")

    eventually(refused, timeout=120)
    assert account.invoke("signed")["Payload"] == {"signed": True}
