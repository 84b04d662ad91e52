"""Access points and the functions that mount them: the real operator and API server."""

import json
from typing import Any

import pytest
from tests.eventually import eventually
from tests.integration.control_plane import ControlPlane
from tests.integration.functions import Functions, condition
from tests.integration.network.test_networks import node
from tests.integration.processes import Installation

from kubelambda.core.file_system.mount_failure import MountError, MountFailure
from kubelambda.frontend.cold_start.mount_report import MountReport
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import ACCESS_POINTS, FUNCTIONS, NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES

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
    user = {"uid": 1001, "gid": 1002, "secondaryGids": [1003]}
    creation = {"ownerUid": 1001, "ownerGid": 1002, "permissions": "0755"}
    control_plane.apply([access_point(where, "shared", rootDirectory="/a/b", posixUser=user, creationInfo=creation)])
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
            "secondaryGids": [1003],
            "creation": {"ownerUid": 1001, "ownerGid": 1002, "permissions": "0755"},
            "zones": [],
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
    await functions.ready("files")

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
    assert (await functions.ready("files"))["deployed"]["timeout"] == 9

    async def gone() -> bool:
        return await found("shared") == {}

    await eventually(gone)


FINALIZER = "kubelambda.dev/access-point-claim"


async def test_a_claim_in_use_stays_when_it_is_deleted(
    running: Installation, control_plane: ControlPlane, functions: Functions, client: KubeClient
) -> None:
    """Though no environment runs; everybody is told, and it goes with its last user."""
    where = functions.namespace
    control_plane.apply([claim(where, "data"), access_point(where, "shared")])
    functions.apply("files", fileSystemConfigs=[{"arn": "shared", "localMountPath": "/mnt/data"}])
    await functions.ready("files")

    async def finalizers() -> list[str]:
        found = await client.find(PERSISTENT_VOLUME_CLAIMS, "data", where) or {"metadata": {}}
        return list(found["metadata"].get("finalizers", []))

    async def held() -> bool:
        return FINALIZER in await finalizers()

    await eventually(held)
    await client.delete(PERSISTENT_VOLUME_CLAIMS, "data", where)
    # kube-controller-manager is not here to take its own away; the operator looks at once when the object changes.
    patch = {"metadata": {"finalizers": [FINALIZER]}}
    await client.patch(PERSISTENT_VOLUME_CLAIMS, "data", patch, where)
    await client.patch(ACCESS_POINTS, "shared", {"spec": {"readOnly": True}}, where)

    async def told() -> bool:
        found = await client.get(ACCESS_POINTS, "shared", where)
        message = condition(found["status"], "Ready").get("message", "")
        return "it stays until it is not used any more by Function files" in message

    await eventually(told)
    assert await held()
    status = await functions.until(
        "files", lambda status: "is being deleted" in condition(status, "FileSystemReady").get("message", "")
    )
    assert (status["state"], status["lastUpdateStatus"]) == ("Active", "Successful")
    await client.delete(FUNCTIONS, "files", where)

    async def gone() -> bool:
        return await client.find(PERSISTENT_VOLUME_CLAIMS, "data", where) is None

    await eventually(gone)


async def test_functions_run_in_the_zones_of_their_volume(
    running: Installation, control_plane: ControlPlane, functions: Functions, client: KubeClient
) -> None:
    """A claim tells no zones until it has a volume; subnets elsewhere are a problem, those around it are not."""
    where = functions.namespace
    zones = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["files-a"]}
    volume = {
        "metadata": {"name": f"volume-{where}"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteMany"],
            "nfs": {"server": "192.0.2.1", "path": "/"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [zones]}]}},
        },
    }
    await client.create(PERSISTENT_VOLUMES, volume)
    bound = claim(where, "data")
    bound["spec"]["volumeName"] = f"volume-{where}"
    subnets = [
        {"apiVersion": API, "kind": "Subnet", "metadata": {"name": f"in-{zone}", "namespace": where}}
        | {"spec": {"availabilityZone": f"files-{zone}"}}
        for zone in "ab"
    ]
    group = {"apiVersion": API, "kind": "SecurityGroup", "metadata": {"name": "app", "namespace": where}, "spec": {}}
    nodes = [node(f"files-{zone}", f"files-{zone}") for zone in "ab"]
    assert control_plane.apply([*nodes, bound, access_point(where, "shared"), *subnets, group]).returncode == 0
    await client.patch(PERSISTENT_VOLUME_CLAIMS, "data", {"status": {"phase": "Bound"}}, where, subresource="status")
    mounted = [{"arn": "shared", "localMountPath": "/mnt/data"}]
    elsewhere = {"subnetIds": ["in-b"], "securityGroupIds": ["app"]}
    functions.apply("files", fileSystemConfigs=mounted, vpcConfig=elsewhere)
    status = await functions.until("files", lambda status: "its volume is in files-a" in status.get("stateReason", ""))
    assert (condition(status, "FileSystemReady")["reason"], status["stateReasonCode"]) == (
        "OtherZone",
        "EFSMountFailure",
    )
    both = {"subnetIds": ["in-a", "in-b"], "securityGroupIds": ["app"]}
    functions.apply("files", fileSystemConfigs=mounted, vpcConfig=both)
    status = await functions.ready("files")
    assert status["deployed"]["fileSystems"][0]["zones"] == ["files-a"]
    await client.delete(PERSISTENT_VOLUMES, f"volume-{where}")
    for name in ("files-a", "files-b"):
        await client.delete(NODES, name)


async def test_what_became_of_a_mount_is_told_at_the_functions(
    running: Installation, control_plane: ControlPlane, functions: Functions, client: KubeClient
) -> None:
    """A frontend writes it at the access point; the operator leaves it there, and repeats it."""
    where = functions.namespace
    control_plane.apply([claim(where, "data"), access_point(where, "shared")])
    functions.apply("files", fileSystemConfigs=[{"arn": "shared", "localMountPath": "/mnt/data"}])
    await functions.ready("files")
    report = MountReport(client)
    report.failed(where, "shared", MountFailure(MountError.CONNECTIVITY, "mount.nfs: No route to host"))

    def failing(status: Object) -> bool:
        found = condition(status, "FileSystemMounted")
        return (found.get("reason"), found.get("message")) == (
            "EFSMountConnectivityError",
            "mount.nfs: No route to host",
        )

    await functions.until("files", failing)
    report.mounted(where, "shared")
    status = await functions.until(
        "files", lambda status: condition(status, "FileSystemMounted").get("status") == "True"
    )
    assert condition(status, "Ready")["status"] == "True"

    async def ready() -> bool:
        point = await client.get(ACCESS_POINTS, "shared", where)
        return bool(condition(point["status"], "Ready").get("status") == "True")

    await eventually(ready)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"rootDirectory": "/a/../b"}, "rootDirectory has no . and no .. in it"),
        ({"rootDirectory": "a"}, "rootDirectory"),
        ({"posixUser": {"uid": 0, "gid": 0}}, "uid"),
        ({"posixUser": {"uid": 1, "gid": 1, "secondaryGids": [0]}}, "secondaryGids"),
        ({"creationInfo": {"ownerUid": 0, "ownerGid": 1, "permissions": "0755"}}, "ownerUid"),
        ({"creationInfo": {"ownerUid": 1, "ownerGid": 1, "permissions": "rwx"}}, "permissions"),
    ],
)
async def test_access_points_that_nobody_could_mount_are_refused(
    control_plane: ControlPlane, namespace: str, spec: dict[str, Any], said: str
) -> None:
    """By the API server, before anything reads them."""
    refused = control_plane.apply([access_point(namespace, "wrong", **spec)])
    assert refused.returncode != 0
    assert said in refused.stderr
