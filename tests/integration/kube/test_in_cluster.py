"""What a pod knows of its API server, against a real one: address, certificate authority and token."""

import shutil
from pathlib import Path

import pytest
from tests.integration.control_plane import ADMIN_TOKEN, ControlPlane

from kubelambda.kube.api_server import in_cluster
from kubelambda.kube.errors import KubeError, Unreachable
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import NAMESPACES


@pytest.fixture
def service_account(control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder and the environment variables that a kubelet gives to a pod."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(control_plane.port))
    shutil.copy(control_plane.folder / "keys" / "apiserver.crt", tmp_path / "ca.crt")
    (tmp_path / "token").write_text(ADMIN_TOKEN)
    return tmp_path


async def names(folder: Path) -> set[str]:
    """The namespaces that a pod with that service account sees."""
    client = KubeClient(in_cluster(folder))
    try:
        return {item["metadata"]["name"] for item in (await client.list(NAMESPACES))["items"]}
    finally:
        await client.close()


async def test_a_pod_reaches_its_api_server(service_account: Path) -> None:
    """With the mounted certificate authority and token."""
    assert "default" in await names(service_account)


async def test_a_wrong_token_is_refused(service_account: Path) -> None:
    """With the server's own word."""
    (service_account / "token").write_text("stolen")
    with pytest.raises(KubeError, match="Unauthorized"):
        await names(service_account)


async def test_a_server_that_another_authority_vouches_for_is_not_spoken_to(
    service_account: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Relaxed flags or not: the chain is verified."""
    other = ControlPlane(tmp_path_factory.mktemp("other"))
    other.start()
    try:
        shutil.copy(other.folder / "keys" / "apiserver.crt", service_account / "ca.crt")
        with pytest.raises(Unreachable, match="certificate"):
            await names(service_account)
    finally:
        other.stop()
