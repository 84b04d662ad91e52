"""Access points and the functions that mount them: the real operator and API server."""

import json
from typing import Any

import pytest
from tests.eventually import eventually
from tests.integration.control_plane import ControlPlane
from tests.integration.functions import Functions, condition
from tests.integration.processes import Installation

from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import ACCESS_POINTS

API = "kubelambda.dev/v1alpha1"


def claim(namespace: str, name: str, mode: str = "ReadWriteMany") -> dict[str, Any]:
    """A PersistentVolumeClaim; nobody binds it here."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}},
    }


def access_point(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    """An AccessPoint of the claim `data`."""
    return {
        "apiVersion": API,
        "kind": "AccessPoint",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"persistentVolumeClaim": "data", **spec},
    }


async def test_a_function_waits_for_its_file_system(
    running: Installation, control_plane: ControlPlane, functions: Functions
) -> None:
    """No access point, no claim, a claim for one node only: each is said; then it is deployed."""
    where = functions.namespace
    functions.apply("files", fileSystemConfigs=[{"arn": "shared", "localMountPath": "/mnt/data"}])
    status = await functions.until("files", lambda status: status["state"] == "Failed")
    assert status["stateReason"] == "AccessPoint shared does not exist"
    assert status["stateReasonCode"] == "EFSMountFailure"
    control_plane.apply([access_point(where, "shared", rootDirectory="/a/b", posixUser={"uid": 1001, "gid": 1002})])
    await functions.until(
        "files", lambda status: "PersistentVolumeClaim data does not exist" in status.get("stateReason", "")
    )
    control_plane.apply([claim(where, "data", "ReadWriteOnce")])
    status = await functions.until("files", lambda status: "not ReadWriteMany" in status.get("stateReason", ""))
    assert condition(status, "FileSystemReady")["reason"] == "FileSystemUnavailable"
    # kube-controller-manager is not here to take protected claims away: the finalizer goes by hand.
    patch = json.dumps({"metadata": {"finalizers": None}})
    control_plane.kubectl("patch", "pvc", "data", "--namespace", where, "--type=merge", "--patch", patch)
    control_plane.kubectl("delete", "pvc", "data", "--namespace", where, "--wait=false")
    control_plane.kubectl("patch", "pvc", "data", "--namespace", where, "--type=merge", "--patch", patch)
    control_plane.apply([claim(where, "data")])
    status = await functions.ready("files")
    assert status["deployed"]["fileSystems"] == [
        {
            "accessPoint": "shared",
            "claim": "data",
            "subPath": "a/b",
            "mountPath": "/mnt/data",
            "readOnly": False,
            "uid": 1001,
            "gid": 1002,
        }
    ]


async def test_a_function_may_name_the_arn_of_an_access_point(
    running: Installation, control_plane: ControlPlane, functions: Functions
) -> None:
    """As the control API writes it: the last part is the name."""
    where = functions.namespace
    control_plane.apply([claim(where, "data"), access_point(where, "shared", readOnly=True)])
    arn = "arn:aws:elasticfilesystem:us-east-1:123456789012:access-point/shared"
    functions.apply("files", fileSystemConfigs=[{"arn": arn, "localMountPath": "/mnt/data"}])
    status = await functions.ready("files")
    assert status["deployed"]["fileSystems"][0]["readOnly"] is True


async def test_an_access_point_goes_when_nobody_mounts_it_any_more(
    running: Installation, control_plane: ControlPlane, functions: Functions, client: KubeClient
) -> None:
    """It says who holds it; what they mount stays mounted. One that nobody uses goes at once."""
    where = functions.namespace
    control_plane.apply([claim(where, "data"), access_point(where, "shared"), access_point(where, "unused")])
    functions.apply("files", fileSystemConfigs=[{"arn": "shared", "localMountPath": "/mnt/data"}])
    await functions.ready("files", 60)

    async def found(name: str) -> Object:
        return await client.find(ACCESS_POINTS, name, where) or {}

    async def held() -> bool:
        return "kubelambda.dev/access-point" in (await found("shared"))["metadata"].get("finalizers", [])

    await eventually(held)
    for name in ("shared", "unused"):
        await client.delete(ACCESS_POINTS, name, where)
    assert await found("unused") == {}

    async def refusal() -> Object:
        return condition((await found("shared"))["status"], "DeletionRefused")

    told = await eventually(refusal)
    assert (told["reason"], told["message"]) == (
        "InUse",
        "in use by Function files: it goes when they mount it no more",
    )
    functions.apply("files", timeout=9)
    assert (await functions.ready("files", 60))["deployed"]["timeout"] == 9

    async def gone() -> bool:
        return await found("shared") == {}

    await eventually(gone)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"rootDirectory": "/a/../b"}, "rootDirectory has no . and no .. in it"),
        ({"rootDirectory": "a"}, "rootDirectory"),
        ({"posixUser": {"uid": 0, "gid": 0}}, "uid"),
    ],
)
async def test_access_points_that_nobody_could_mount_are_refused(
    control_plane: ControlPlane, namespace: str, spec: dict[str, Any], said: str
) -> None:
    """By the API server, before anything reads them."""
    refused = control_plane.apply([access_point(namespace, "wrong", **spec)])
    assert refused.returncode != 0
    assert said in refused.stderr
