"""Why an environment cannot mount its file system: Lambda's error, out of what Kubernetes says (§10.2). Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from kubelambda.core.invoke.invoke_error import InvokeError


class MountError(Enum):
    """Lambda's errors; the value is the reason code of a function's state (§1.4.6)."""

    FAILURE = "EFSMountFailure"
    """The mount is refused: nothing but another claim, volume or permission can help."""
    CONNECTIVITY = "EFSMountConnectivityError"
    """The server of the volume cannot be reached."""
    TIMEOUT = "EFSMountTimeout"
    """The mount does not come to an end."""
    IO = "EFSIOError"
    """What is mounted cannot be read or written."""


MOUNTED = "Mounted"
"""Condition of an AccessPoint: whether an environment could mount it. Frontends write it, and nobody else."""
_EXCEPTIONS = {
    MountError.FAILURE: (403, "EFSMountFailureException"),
    MountError.CONNECTIVITY: (408, "EFSMountConnectivityException"),
    MountError.TIMEOUT: (408, "EFSMountTimeoutException"),
    MountError.IO: (410, "EFSIOException"),
}
_TEXTS = {
    MountError.FAILURE: "The function could not mount the EFS file system with access point {}.",
    MountError.CONNECTIVITY: (
        "The function couldn't connect to the Amazon EFS file system with access point {}. Check your network "
        "configuration and try again."
    ),
    MountError.TIMEOUT: "The function could not mount the EFS file system with access point {} due to mount time out.",
    MountError.IO: "The function could not read from or write to the EFS file system with access point {}.",
}
_UNREACHABLE = (
    "connection timed out",
    "connection refused",
    "no route to host",
    "host is down",
    "network is unreachable",
    "host is unreachable",
    "failed to resolve",
    "name or service not known",
    "no such host",
)
_BROKEN = ("stale file handle", "stale nfs file handle", "input/output error", "transport endpoint is not connected")
_ENDLESS = ("timed out waiting for the condition", "deadline exceeded", "deadlineexceeded")
_MOUNTS = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")
_VOLUMES = ("persistentvolume", "volume node affinity")


@dataclass(frozen=True, slots=True)
class MountFailure:
    """One failure, and what Kubernetes says of it."""

    error: MountError
    detail: str

    def answer(self, access_point: str) -> InvokeError:
        """What the caller gets; `access_point` is an ARN."""
        status, kind = _EXCEPTIONS[self.error]
        return InvokeError(status, kind, f"{_TEXTS[self.error].format(access_point)} {self.detail}".rstrip())


def never_mounted(reason_code: str, reason: str) -> InvokeError | None:
    """What callers get of a function that could not be deployed, by its state (§1.4.6); None for another reason."""
    error = next((each for each in MountError if each.value == reason_code), None)
    if error is None:
        return None
    status, kind = _EXCEPTIONS[error]
    return InvokeError(status, kind, f"The function could not mount its EFS file system: {reason}")


def unscheduled(message: str) -> MountFailure | None:
    """Of a pod that no node takes: whether that is for its volume. `message` is what its condition says."""
    if not any(word in message.lower() for word in _VOLUMES):
        return None
    return MountFailure(MountError.FAILURE, message)


def unmounted(events: Iterable[tuple[str, str]]) -> MountFailure | None:
    """Of a pod that a node took and does not start: reasons and messages of its events, the newest last.

    None when the events speak of something else. Without any, its node is still busy with the mount.
    """
    told = list(events)
    mounts = [message for reason, message in told if reason in _MOUNTS]
    if not mounts:
        other = any(reason.startswith("Failed") for reason, _ in told)
        return None if other else MountFailure(MountError.TIMEOUT, "")
    # The kubelet says now and then that it has waited long enough; what it waits for is in what it says besides.
    telling = [message for message in mounts if not _has(message, _ENDLESS)]
    newest = (telling or mounts)[-1]
    if _has(newest, _UNREACHABLE):
        return MountFailure(MountError.CONNECTIVITY, newest)
    if _has(newest, _BROKEN):
        return MountFailure(MountError.IO, newest)
    return MountFailure(MountError.TIMEOUT if _has(newest, _ENDLESS) else MountError.FAILURE, newest)


def _has(message: str, words: Iterable[str]) -> bool:
    lowered = message.lower()
    return any(word in lowered for word in words)
