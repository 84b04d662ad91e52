"""Gives claims of the class `standard` a folder of the test node. Test equipment: folders have no size and one machine.

Run as a program, it watches claims and volumes, makes a folder and a volume for every claim that waits for one, and
removes both when the claim is gone.
"""

import shutil
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from addons import PROVISIONER, STORAGE_CLASS
from equipment import announce_ready
from kubernetes_api import ApiError, Store, call
from settings import STATE

VOLUMES = STATE / "volumes"
_VOLUMES_PATH = "/api/v1/persistentvolumes"
_ANNOTATION = "pv.kubernetes.io/provisioned-by"
_RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Claim:
    """A claim that has no volume yet."""

    namespace: str
    name: str
    uid: str
    modes: tuple[str, ...]
    size: str

    @property
    def volume(self) -> str:
        """The name of its volume, and of the folder."""
        return f"pvc-{self.uid}"

    def manifest(self) -> dict[str, Any]:
        """The volume, bound to the claim from the start."""
        reference = {"kind": "PersistentVolumeClaim", "namespace": self.namespace, "name": self.name, "uid": self.uid}
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": self.volume, "annotations": {_ANNOTATION: PROVISIONER}},
            "spec": {
                "capacity": {"storage": self.size},
                "accessModes": list(self.modes),
                "storageClassName": STORAGE_CLASS,
                "persistentVolumeReclaimPolicy": "Delete",
                "claimRef": {"apiVersion": "v1", **reference},
                "hostPath": {"path": str(VOLUMES / self.volume), "type": "Directory"},
            },
        }


def parse_claim(item: Mapping[str, Any]) -> Claim | None:
    """A claim of our class that waits for a volume."""
    spec, metadata = item["spec"], item["metadata"]
    if spec.get("storageClassName") != STORAGE_CLASS or spec.get("volumeName") or "deletionTimestamp" in metadata:
        return None
    size = spec["resources"]["requests"]["storage"]
    return Claim(metadata["namespace"], metadata["name"], metadata["uid"], tuple(spec["accessModes"]), size)


def parse_released(item: Mapping[str, Any]) -> str | None:
    """The name of a volume of ours whose claim is gone."""
    metadata = item["metadata"]
    ours = metadata.get("annotations", {}).get(_ANNOTATION) == PROVISIONER
    return str(metadata["name"]) if ours and item.get("status", {}).get("phase") == "Released" else None


def main() -> None:
    """Serves claims, for ever."""
    changed = threading.Event()
    claims: Store[Claim] = Store("/api/v1/persistentvolumeclaims", parse_claim, changed)
    released: Store[str] = Store(_VOLUMES_PATH, parse_released, changed)
    for store in (claims, released):
        store.start()
    while True:
        changed.wait()
        changed.clear()
        if not (claims.synced and released.synced):
            continue
        announce_ready("storage-provisioner")
        try:
            for claim in claims.items():
                _provide(claim)
            for volume in released.items():
                _remove(volume)
        except (OSError, ApiError) as error:
            print(error, file=sys.stderr, flush=True)
            time.sleep(_RETRY_SECONDS)
            changed.set()


def _provide(claim: Claim) -> None:
    folder = VOLUMES / claim.volume
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)  # the kubelet does not hand host paths over to a pod's group
    try:
        call("POST", _VOLUMES_PATH, claim.manifest())
    except ApiError as error:
        if error.status != 409:
            raise


def _remove(volume: str) -> None:
    shutil.rmtree(VOLUMES / volume, ignore_errors=True)
    try:
        call("DELETE", f"{_VOLUMES_PATH}/{volume}")
    except ApiError as error:
        if error.status != 404:
            raise


if __name__ == "__main__":
    main()
