"""An installation without the admission policy: its operator changes no claim. The real operator and API server."""

from collections.abc import Iterator

import pytest
from tests.eventually import eventually
from tests.integration.control_plane import SYSTEM_NAMESPACE, ControlPlane
from tests.integration.file_system.test_access_points import FINALIZER, access_point, claim
from tests.integration.functions import Functions, condition
from tests.integration.processes import Installation

from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import ACCESS_POINTS, FUNCTIONS, PERSISTENT_VOLUME_CLAIMS


@pytest.fixture(scope="module")
def unholding(tmp_path_factory: pytest.TempPathFactory, control_plane: ControlPlane) -> Iterator[None]:
    """An operator with the settings that the chart makes then."""
    settings = {"fileSystems": {"holdClaims": False}}
    found = Installation(tmp_path_factory.mktemp("unholding"), control_plane, SYSTEM_NAMESPACE, **settings)
    found.code_store()
    found.operator()
    yield
    found.stop()


async def test_a_claim_in_use_that_nothing_holds_is_said(
    unholding: None, control_plane: ControlPlane, functions: Functions, client: KubeClient
) -> None:
    """Functions are deployed all the same, and the access point says so while any mounts the claim."""
    where = functions.namespace
    assert control_plane.apply([claim(where, "data"), access_point(where, "shared")]).returncode == 0
    functions.apply("files", fileSystemConfigs=[{"arn": "shared", "localMountPath": "/mnt/data"}])
    await functions.ready("files")

    async def said() -> tuple[str | None, str | None]:
        found = await client.get(ACCESS_POINTS, "shared", where)
        held = condition(found["status"], "ClaimHeld")
        return held.get("status"), held.get("reason")

    async def told() -> bool:
        return await said() == ("False", "NotHeld")

    await eventually(told)
    found = await client.get(PERSISTENT_VOLUME_CLAIMS, "data", where)
    assert FINALIZER not in found["metadata"].get("finalizers", [])
    await client.delete(FUNCTIONS, "files", where)

    async def nothing_to_say() -> bool:
        return await said() == (None, None)

    await eventually(nothing_to_say)
