"""What a pod has for the file systems of its shape: volumes, mounts, folders, and who everything in it is (§10.2)."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any, Final

from kubelambda.api import environment_protocol
from kubelambda.api.kinds.function_mounts import DeployedFileSystem

ROOT_DIRECTORY: Final = "root-directory"
"""Begins the names of the containers that make the root directories of access points."""
_PARENT: Final = "/run/kubelambda-files"
_RESOURCES = {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}}

type Manifest = dict[str, Any]


def user(file_systems: Sequence[DeployedFileSystem], *, otherwise: int) -> Manifest:
    """Who everything in the pod is: whom its access point says, else the user and group `otherwise`."""
    uid = next((each.uid for each in file_systems if each.uid is not None), otherwise)
    gid = next((each.gid for each in file_systems if each.gid is not None), otherwise)
    found: Manifest = {"runAsUser": uid, "runAsGroup": gid, "fsGroup": gid}
    if more := [each for mounted in file_systems for each in mounted.secondary_gids]:
        found["supplementalGroups"] = more
    if file_systems:  # nobody waits until each of a volume's files has been given to the group
        found["fsGroupChangePolicy"] = "OnRootMismatch"
    return found


def volumes(file_systems: Sequence[DeployedFileSystem]) -> list[Manifest]:
    """The volumes of the pod."""
    return [{"name": name, "persistentVolumeClaim": _claim(each)} for name, each in _numbered(file_systems)]


def mounts(file_systems: Sequence[DeployedFileSystem]) -> list[Manifest]:
    """What the container of the function mounts."""
    return [_mount(name, mounted) for name, mounted in _numbered(file_systems)]


def makers(file_systems: Sequence[DeployedFileSystem], agent: Manifest) -> list[Manifest]:
    """Containers that make root directories before anything mounts them, out of the image of the `agent`'s container.

    Each is the owner to be, which Pod Security allows where it is not root: what one makes belongs to it. It sees the
    folder above, which the kubelet makes where it is missing.
    """
    return [_maker(name, each, agent) for name, each in _numbered(file_systems) if each.creation and each.sub_path]


def _maker(name: str, mounted: DeployedFileSystem, agent: Manifest) -> Manifest:
    assert mounted.creation is not None
    above, _, folder = mounted.sub_path.rpartition("/")
    mount = {"name": name, "mountPath": _PARENT} | ({"subPath": above} if above else {})
    owner = mounted.creation
    return {
        "name": f"{ROOT_DIRECTORY}-{name}",
        "image": agent["image"],
        "imagePullPolicy": agent["imagePullPolicy"],
        "args": [
            environment_protocol.ROOT_DIRECTORY_ARGUMENT,
            owner.permissions,
            f"{_PARENT}/{folder}",
            str(owner.owner_gid),
        ],
        "resources": _RESOURCES,
        "securityContext": {
            **deepcopy(agent["securityContext"]),
            "runAsUser": owner.owner_uid,
            "runAsGroup": owner.owner_gid,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [mount],
    }


def _numbered(file_systems: Sequence[DeployedFileSystem]) -> Iterator[tuple[str, DeployedFileSystem]]:
    return ((f"files-{number}", mounted) for number, mounted in enumerate(file_systems))


def _claim(mounted: DeployedFileSystem) -> Manifest:
    # In a volume that nothing in the pod may write to no folder can be made.
    read_only = mounted.read_only and mounted.creation is None
    return {"claimName": mounted.claim} | ({"readOnly": True} if read_only else {})


def _mount(name: str, mounted: DeployedFileSystem) -> Manifest:
    found: Manifest = {"name": name, "mountPath": mounted.mount_path}
    if mounted.sub_path:
        found["subPath"] = mounted.sub_path
    return found | ({"readOnly": True} if mounted.read_only else {})
