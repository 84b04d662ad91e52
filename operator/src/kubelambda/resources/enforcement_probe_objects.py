"""The objects of the probe for enforcement: a policy that stays and keeps what was found, and pods that do not."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kubelambda.api import labels
from kubelambda.api.settings import Settings
from kubelambda.core.network.enforcement_probe import PROBERS_MAX
from kubelambda.resources.environment_pod import USER_ID, Manifest
from kubelambda.resources.topology import NODE

PROBE_POLICY = "kubelambda-network-probe"
PROBE_LISTENER = "kubelambda-network-probe-listener"
PROBE_PROBERS = tuple(
    "kubelambda-network-probe-prober" + (f"-{number + 1}" if number else "") for number in range(PROBERS_MAX)
)
ALLOWED_PORT = 8080
NO_WAY_OUT_PORT = 8081
"""The probers may not connect to it."""
NO_WAY_IN_PORT = 8082
"""The listener may not be connected to at it."""
_LISTENER = "listener"
_PROBER = "prober"


@dataclass(frozen=True, slots=True)
class PodOwner:
    """A pod of the operator: what it leaves behind goes with it."""

    name: str
    uid: str

    @property
    def reference(self) -> Manifest:
        """For the metadata of what it owns."""
        return {"apiVersion": "v1", "kind": "Pod", "name": self.name, "uid": self.uid, "blockOwnerDeletion": False}


def probe_policy(system_namespace: str, found: Mapping[str, str] | None) -> Manifest:
    """Leaves one port of the listener to the probers: of the other two, each is closed at one side only."""
    annotations = {"annotations": {labels.NETWORK_PROBE: json.dumps(found)}} if found else {}
    role = {"key": labels.NETWORK_PROBE, "operator": "In", "values": [_LISTENER, _PROBER]}
    return {
        "metadata": {
            "name": PROBE_POLICY,
            "namespace": system_namespace,
            "labels": {labels.MANAGED_BY: labels.MANAGER, labels.NETWORK_PROBE: "policy"},
            **annotations,
        },
        "spec": {
            "podSelector": {"matchExpressions": [role]},
            "policyTypes": ["Ingress", "Egress"],
            "egress": [{"to": [_pods(_LISTENER)], "ports": _ports(ALLOWED_PORT, NO_WAY_IN_PORT)}],
            "ingress": [{"from": [_pods(_PROBER)], "ports": _ports(ALLOWED_PORT, NO_WAY_OUT_PORT)}],
        },
    }


@dataclass(frozen=True, slots=True)
class ProbePods:
    """The pods, within the `restricted` Pod Security standard. Their own policy selects them, and no Service."""

    settings: Settings
    image: str
    seconds: float
    """How long they may run, should nobody end them."""
    owner: PodOwner | None

    def listener(self) -> Manifest:
        """Takes connections at all ports."""
        ports = f"--ports={ALLOWED_PORT},{NO_WAY_OUT_PORT},{NO_WAY_IN_PORT}"
        return self._pod(PROBE_LISTENER, _LISTENER, ["listen", ports])

    def prober(self, number: int, address: str) -> Manifest:
        """Tries all ports of the listener at `address`, on a node that has no more probers than the others."""
        refused = f"--refused={NO_WAY_OUT_PORT},{NO_WAY_IN_PORT}"
        arguments = ["try", f"--host={address}", f"--allowed={ALLOWED_PORT}", refused]
        found = self._pod(PROBE_PROBERS[number], _PROBER, arguments)
        found["spec"]["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": NODE,
                "whenUnsatisfiable": "DoNotSchedule",
                "nodeTaintsPolicy": "Honor",
                "labelSelector": {"matchLabels": {labels.NETWORK_PROBE: _PROBER}},
            }
        ]
        return found

    def _pod(self, name: str, role: str, arguments: Sequence[str]) -> Manifest:
        environments = self.settings.environments
        container = {
            "name": role,
            "image": self.image,
            "imagePullPolicy": environments.image_pull_policy,
            "args": ["network-probe", *arguments],
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "96Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "terminationMessagePolicy": "FallbackToLogsOnError",
        }
        return {
            "metadata": {
                "name": name,
                "namespace": self.settings.system_namespace,
                "labels": {
                    labels.MANAGED_BY: labels.MANAGER,
                    labels.COMPONENT: "network-probe",
                    labels.NETWORK_PROBE: role,
                },
                **({"ownerReferences": [self.owner.reference]} if self.owner else {}),
            },
            "spec": {
                "restartPolicy": "Never",
                "activeDeadlineSeconds": max(1, round(self.seconds)),
                "terminationGracePeriodSeconds": 1,
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "imagePullSecrets": [{"name": each} for each in environments.image_pull_secrets],
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": USER_ID,
                    "runAsGroup": USER_ID,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [container],
            },
        }


def _pods(role: str) -> Manifest:
    return {"podSelector": {"matchLabels": {labels.NETWORK_PROBE: role}}}


def _ports(*ports: int) -> list[Manifest]:
    return [{"port": port, "protocol": "TCP"} for port in ports]
