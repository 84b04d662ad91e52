"""What our own service accounts may do on a real cluster, asked and tried as them."""

import json

import pytest

from installation.account import Account
from installation.kubectl import KubectlError, eventually, kubectl
from installation.release import RELEASE, SYSTEM_NAMESPACE

READING = {"get", "list", "watch"}
WRITTEN = {
    "operator": {
        "accesspoints.kubelambda.dev",
        "accesspoints.kubelambda.dev/status",
        "aliases.kubelambda.dev",
        "aliases.kubelambda.dev/status",
        "clusterroles.rbac.authorization.k8s.io",
        "codesigningconfigs.kubelambda.dev",
        "codesigningconfigs.kubelambda.dev/status",
        "events.events.k8s.io",
        "eventsourcemappings.kubelambda.dev/status",
        "functions.kubelambda.dev/status",
        "functionversions.kubelambda.dev",
        "functionversions.kubelambda.dev/status",
        "invokeendpoints.kubelambda.dev/status",
        "layers.kubelambda.dev/status",
        "layerversions.kubelambda.dev",
        "layerversions.kubelambda.dev/status",
        "namespaces",
        "persistentvolumeclaims",
        "rolebindings.rbac.authorization.k8s.io",
        "runtimes.kubelambda.dev/status",
        "securitygroups.kubelambda.dev",
        "securitygroups.kubelambda.dev/status",
        "signingprofiles.kubelambda.dev/status",
        "subnets.kubelambda.dev",
        "subnets.kubelambda.dev/status",
    },
    "frontend": {"subjectaccessreviews.authorization.k8s.io", "tokenreviews.authentication.k8s.io"},
    "awsapi": {
        "aliases.kubelambda.dev",
        "codesigningconfigs.kubelambda.dev",
        "eventsourcemappings.kubelambda.dev",
        "functions.kubelambda.dev",
        "functionversions.kubelambda.dev",
        "layers.kubelambda.dev",
        "layerversions.kubelambda.dev",
        "subjectaccessreviews.authorization.k8s.io",
        "tokenreviews.authentication.k8s.io",
    },
    "code-fetcher": set(),
    "events": set(),
    "pollers": {"eventsourcemappings.kubelambda.dev/status"},
}
"""What a component changes in a namespace without functions."""


def user(component: str) -> str:
    """The user name of a component's service account."""
    return f"--as=system:serviceaccount:{SYSTEM_NAMESPACE}:{RELEASE}-{component}"


KEYS = ("[kubelambda-access-keys]", "[kubelambda-s3]")
"""The only Secrets that are read everywhere: who makes one of these names makes it for us."""


@pytest.mark.parametrize("component", list(WRITTEN))
def test_no_secret_is_read_and_nothing_changed_where_nobody_uses_us(component: str) -> None:
    """`kubectl auth can-i --list` as the service account, in a namespace of the cluster's own."""
    found = kubectl("auth", "can-i", "--list", "--namespace", "kube-system", user(component))
    lines = [
        line
        for line in found.splitlines()[1:]
        if not (line.startswith("secrets ") and any(name in line for name in KEYS))
    ]
    granted = {line.split()[0]: set(line[line.rindex("[") + 1 : -1].split()) for line in lines}
    ours = {name: verbs for name, verbs in granted.items() if not name.startswith(("[", "selfsubject"))}
    assert not [name for name in ours if name.startswith(("secrets", "configmaps"))]
    assert {name for name, verbs in ours.items() if verbs - READING} <= WRITTEN[component]


def test_only_our_own_objects_are_changed_where_somebody_uses_us(account: Account) -> None:
    """A dry run of a pod that is not ours, as the frontend, is refused by the admission policy."""
    account.function("present", "def handler(event, context):\n    return 1")
    metadata = {"name": "theirs", "namespace": account.namespace}
    # Within the `restricted` standard: nothing else may be what refuses it.
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "c", "image": "localhost/x:1", "securityContext": security}
    spec = {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    def refused() -> bool:
        """By the policy, once the API server has heard that the role lets it."""
        with pytest.raises(KubectlError, match="own service accounts change only objects labelled"):
            kubectl("create", "--dry-run=server", "--filename", "-", user("frontend"), stdin=json.dumps(manifest))
        return True

    eventually(refused)
