"""What the status of a pod says that is not as it should be: in Kubernetes' words, empty where all is well."""

from typing import Any

from kubelambda.resources import file_mounts

_NOT_CREATED = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_MOUNTING = ("subpath", "volumemount", "mount")


def unscheduled(status: dict[str, Any]) -> str:
    """Why no node takes it."""
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return str(condition.get("message", ""))
    return ""


def unmounted(status: dict[str, Any]) -> str:
    """Why a container of it cannot have its file system, though the volume is there."""
    for container in status.get("initContainerStatuses") or []:
        if container["name"].startswith(file_mounts.ROOT_DIRECTORY):
            for state in (container.get("state") or {}, container.get("lastState") or {}):
                ended = state.get("terminated") or {}
                if ended.get("exitCode"):
                    return f"its root directory: {ended.get('message') or ended.get('reason', '')}".strip()
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (container.get("state") or {}).get("waiting") or {}
        message = str(waiting.get("message", ""))
        if waiting.get("reason") in _NOT_CREATED and any(word in message.lower() for word in _MOUNTING):
            return message
    return ""


def evicted(status: dict[str, Any]) -> str:
    """Why its node has ended it."""
    return str(status.get("message", "")).strip() if status.get("reason") == "Evicted" else ""
