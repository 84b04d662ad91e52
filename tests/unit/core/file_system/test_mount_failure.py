"""What callers are told of a file system that an environment cannot mount (§0.3, §10.2)."""

import json

import pytest

from kubelambda.core.file_system.mount_failure import MountError, MountFailure, never_mounted, unmounted, unscheduled

ARN = "arn:aws:elasticfilesystem:us-east-1:123456789012:access-point/shared"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ('MountVolume.SetUp failed for volume "v": mount failed: access denied by server', MountError.FAILURE),
        (
            'MountVolume.SetUp failed for volume "v" : hostPath type check failed: /x is not a directory',
            MountError.FAILURE,
        ),
        ("mount.nfs: Connection timed out", MountError.CONNECTIVITY),
        ("mount.nfs: No route to host", MountError.CONNECTIVITY),
        ("Unable to attach or mount volumes: timed out waiting for the condition", MountError.TIMEOUT),
        ("rpc error: code = DeadlineExceeded desc = context deadline exceeded", MountError.TIMEOUT),
        ("stat /mnt/x: stale NFS file handle", MountError.IO),
    ],
)
def test_what_the_kubelet_says_decides_the_error(message: str, error: MountError) -> None:
    """Refused, not reached, endless, or broken."""
    found = unmounted([("Scheduled", "assigned"), ("FailedMount", message)])
    assert found == MountFailure(error, message)


def test_that_it_has_waited_long_enough_is_not_the_cause() -> None:
    """The kubelet says so in between; what it waits for it has said before."""
    waited = ("FailedMount", "Unable to attach or mount volumes: timed out waiting for the condition")
    found = unmounted([("FailedMount", "mount.nfs: access denied by server"), waited])
    assert found is not None
    assert found.error is MountError.FAILURE


def test_a_mount_of_which_nothing_is_told_takes_too_long() -> None:
    """And another trouble of the pod is none of the file system's."""
    assert unmounted([("Scheduled", "assigned")]) == MountFailure(MountError.TIMEOUT, "")
    assert unmounted([("FailedCreatePodSandBox", "no address left")]) is None


@pytest.mark.parametrize(
    ("message", "ours"),
    [
        ("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.", True),
        ('0/1 nodes are available: persistentvolumeclaim "data" not found.', True),
        ("0/3 nodes are available: 3 node(s) had volume node affinity conflict.", True),
        ("0/1 nodes are available: 1 Insufficient memory.", False),
        ("", False),
    ],
)
def test_a_pod_without_a_node_may_lack_its_volume(message: str, ours: bool) -> None:
    """Or memory, which another error tells."""
    assert (unscheduled(message) is not None) is ours


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (MountError.FAILURE, 403, "EFSMountFailureException"),
        (MountError.CONNECTIVITY, 408, "EFSMountConnectivityException"),
        (MountError.TIMEOUT, 408, "EFSMountTimeoutException"),
        (MountError.IO, 410, "EFSIOException"),
    ],
)
def test_answers_have_lambdas_status_and_type(error: MountError, status: int, kind: str) -> None:
    """And name the access point."""
    answer = MountFailure(error, "why").answer(ARN)
    assert (answer.status, answer.type) == (status, kind)
    body = json.loads(answer.body())
    assert body["Type"] == "User"
    assert body["Message"].endswith(f"access point {ARN}. why") or ARN in body["Message"]


def test_a_function_that_was_never_deployed_for_it_says_so_too() -> None:
    """By the code of its state; other codes are other errors."""
    found = never_mounted("EFSMountFailure", "AccessPoint shared does not exist")
    assert found is not None
    assert (found.status, found.type) == (403, "EFSMountFailureException")
    assert found.message == "The function could not mount its EFS file system: AccessPoint shared does not exist"
    assert never_mounted("InvalidImage", "no such image") is None
