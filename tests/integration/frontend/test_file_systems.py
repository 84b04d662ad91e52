"""Environments that cannot mount their file system: the real API server, with a node as far as it gets."""

from typing import Any

import pytest
from tests.eventually import eventually
from tests.integration.loopback import Cluster

from kubelambda.api.kinds.function_mounts import DeployedFileSystem
from kubelambda.api.settings import FileSystemSettings
from kubelambda.core.environment.shape import Shape
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ACCESS_POINTS, CORE_EVENTS, PODS, Resource

ECHO = "def handler(event, context): return event"
FILES = {"accessPoint": "shared", "claim": "data", "mountPath": "/mnt/data"}


async def function_with_files(cluster: Cluster, mount_timeout_seconds: float) -> Cluster:
    """A function whose pods find no place by themselves, and a frontend that waits so long for their mounts."""
    cluster.agents.schedules = lambda _: False
    cluster.settings = {"file_systems": FileSystemSettings(mount_timeout_seconds=mount_timeout_seconds)}
    point = {"metadata": {"name": "shared"}, "spec": {"persistentVolumeClaim": "data"}}
    await cluster.client.create(
        ACCESS_POINTS, {"apiVersion": "kubelambda.dev/v1alpha1", "kind": "AccessPoint", **point}, cluster.namespace
    )
    await cluster.function("files", ECHO, fileSystems=[FILES])
    await cluster.frontend()
    return cluster


@pytest.fixture
async def mounting(cluster: Cluster) -> Cluster:
    """With a frontend that waits a second."""
    return await function_with_files(cluster, 1)


@pytest.fixture
async def patient(cluster: Cluster) -> Cluster:
    """With a frontend that waits longer than any test."""
    return await function_with_files(cluster, 600)


async def own_pod(cluster: Cluster) -> Object:
    """The pod that was made for the function."""

    async def made() -> Object | None:
        return next(iter(await cluster.pods()), None)

    return dict(await eventually(made))


async def bind(cluster: Cluster, pod: Object) -> None:
    """What the scheduler does."""
    name = pod["metadata"]["name"]
    binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": "node-1"}}
    await cluster.client.create(Resource("", "v1", f"pods/{name}/binding", "Binding"), binding, cluster.namespace)


async def mount_event(cluster: Cluster, pod: Object, message: str) -> None:
    """What the kubelet says."""
    metadata = pod["metadata"]
    about = {"kind": "Pod", "namespace": cluster.namespace, "name": metadata["name"], "uid": metadata["uid"]}
    event = {
        "metadata": {"generateName": "event-"},
        "involvedObject": about,
        "reason": "FailedMount",
        "message": message,
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "type": "Warning",
    }
    await cluster.client.create(CORE_EVENTS, event, cluster.namespace)


async def status(cluster: Cluster, pod: Object, **found: Any) -> None:
    """What scheduler and kubelet write."""
    await cluster.client.patch(
        PODS, pod["metadata"]["name"], {"status": found}, cluster.namespace, subresource="status"
    )


async def told(cluster: Cluster) -> Object:
    """The condition at the access point."""

    async def found() -> Object | None:
        conditions = (await cluster.client.get(ACCESS_POINTS, "shared", cluster.namespace)).get("status", {})
        return next((each for each in conditions.get("conditions", []) if each["type"] == "Mounted"), None)

    return dict(await eventually(found))


async def gone(cluster: Cluster) -> bool:
    """Whether no pod is left."""
    return await cluster.pods() == []


async def test_a_mount_that_the_kubelet_cannot_do_is_its_callers_error(mounting: Cluster) -> None:
    """With the status and type of Lambda's API; nothing is left, and the access point says it."""
    (call,) = mounting.calls("files", 1)
    pod = await own_pod(mounting)
    message = 'MountVolume.SetUp failed for volume "v": mount.nfs: No route to host'
    await mount_event(mounting, pod, message)
    await bind(mounting, pod)
    answer = await call
    assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (408, "EFSMountConnectivityException")
    assert ":access-point/shared. Check your network configuration" in answer.json["Message"]
    assert answer.json["Message"].endswith(message)
    condition = await told(mounting)
    assert (condition["status"], condition["reason"], condition["message"]) == (
        "False",
        "EFSMountConnectivityError",
        message,
    )
    await eventually(lambda: gone(mounting))


async def test_a_mount_of_which_nothing_is_heard_takes_too_long(mounting: Cluster) -> None:
    """The node took the pod, and that was it."""
    (call,) = mounting.calls("files", 1)
    await bind(mounting, await own_pod(mounting))
    answer = await call
    assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (408, "EFSMountTimeoutException")
    assert answer.json["Message"].endswith("due to mount time out.")


async def test_a_claim_that_gets_no_volume_is_said(mounting: Cluster) -> None:
    """As the scheduler says it."""
    (call,) = mounting.calls("files", 1)
    message = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    await status(mounting, await own_pod(mounting), conditions=[unscheduled])
    answer = await call
    assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (403, "EFSMountFailureException")
    assert answer.json["Message"].endswith(message)


async def test_a_root_directory_that_cannot_be_made_is_said_at_once(patient: Cluster) -> None:
    """In the words of the container that tried."""
    (call,) = patient.calls("files", 1)
    pod = await own_pod(patient)
    await bind(patient, pod)
    ended = {"exitCode": 1, "message": "user 1001 cannot make it: Permission denied\n"}
    maker = {"name": "root-directory-files-0", "image": "", "imageID": "", "ready": False, "restartCount": 0}
    await status(patient, pod, initContainerStatuses=[{**maker, "state": {"terminated": ended}}])
    answer = await call
    assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (403, "EFSMountFailureException")
    assert "its root directory: user 1001 cannot make it: Permission denied" in answer.json["Message"]


async def test_a_mount_that_comes_is_said_too(mounting: Cluster) -> None:
    """Also out of a pool."""
    mounting.agents.schedules = lambda _: True
    await mounting.pool(1, Shape(file_systems=(DeployedFileSystem.model_validate(FILES),)))
    assert (await mounting.invoke("files", 1)).json == 1
    assert (await told(mounting))["status"] == "True"
