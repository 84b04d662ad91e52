"""Which namespace is which account."""

from typing import Any

from kubelambda.api import labels
from kubelambda.awsapi.account.directory import AccountDirectory, account_view
from kubelambda.kube.api_server import Server
from kubelambda.kube.kube_client import KubeClient

OWNER, IMPOSTOR = "0d1a4f6e-0000-4000-8000-000000000001", "0d1a4f6e-0000-4000-8000-000000000002"


def namespace(name: str, uid: str, created: str, **annotations: str) -> dict[str, Any]:
    """A Namespace object."""
    found = {f"{labels.GROUP}/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return {"metadata": {"name": name, "uid": uid, "creationTimestamp": created, "annotations": found}}


async def test_a_copied_account_id_stays_with_the_one_that_had_it() -> None:
    """Whichever of the two is seen first; the other has nothing by that id."""

    async def nothing() -> dict[str, str]:
        return {}

    client = KubeClient(Server("http://127.0.0.1:9", None, nothing))
    owner = namespace("owner", OWNER, "2026-01-01T00:00:00Z", account_id="123456789012", auth_mode="any")
    impostor = namespace("impostor", IMPOSTOR, "2026-02-01T00:00:00Z", account_id="123456789012")
    for bodies in ((owner, impostor), (impostor, owner)):
        directory = AccountDirectory(client)
        for body in bodies:
            directory.namespaces._observe(body, deleted=False)
        found = directory.by_id("123456789012")
        assert found is not None
        assert (found.namespace, found.auth_mode) == ("owner", "any")
        directory.namespaces._observe(owner, deleted=True)
        found = directory.by_id("123456789012")
        assert found is not None
        assert found.namespace == "impostor"
    await client.close()
    assert account_view(namespace("other", OWNER, "")).id != "123456789012"
