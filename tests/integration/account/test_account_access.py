"""What our own service accounts may do, proven as them against a real API server: nothing beyond our own objects."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.integration.control_plane import OPERATOR_TOKEN, SYSTEM_NAMESPACE, ControlPlane, service_account
from tests.integration.functions import eventually

from kubelambda.api.settings import Settings
from kubelambda.controllers.account import access
from kubelambda.controllers.account.access import AccountAccess
from kubelambda.controllers.machinery.context import context_of
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import ROLE_BINDINGS

OURS = {"app.kubernetes.io/managed-by": "kubelambda"}
BOUND = {"kubelambda.dev/account-role": ""}
ROLES = {
    f"kubelambda-{each}": f"{SYSTEM_NAMESPACE}-kubelambda-{each}-account"
    for each in ("operator", "frontend", "pollers", "code-fetcher")
}
OPERATOR = service_account("operator")
FRONTEND = service_account("frontend")
POLLERS = service_account("pollers")


class Granting:
    """`AccountAccess` of an installation."""

    def __init__(self, client: KubeClient) -> None:
        self._access = AccountAccess()
        self._context = context_of(client, Settings(system_namespace=SYSTEM_NAMESPACE, account_roles=ROLES), b"", ())

    async def ensure(self, namespace: str) -> None:
        """Binds."""
        await self._access.grant(self._context, namespace)

    async def revoke(self, namespace: str) -> float | None:
        """Takes back, or says when."""
        return await self._access.revoke(self._context, namespace)


@pytest.fixture
async def granting(control_plane: ControlPlane) -> AsyncIterator[Granting]:
    """The operator's way to bind roles, as the operator."""
    client = await KubeClient.connect(str(control_plane.kubeconfig(OPERATOR_TOKEN)))
    yield Granting(client)
    await client.close()


def may(control_plane: ControlPlane, user: str, namespace: str, verb: str, resource: str) -> bool:
    """`kubectl auth can-i` as a user."""
    kind, _, subresource = resource.partition("/")
    options = ["--namespace", namespace, f"--as={user}", f"--subresource={subresource}"]
    asked = control_plane.kubectl("auth", "can-i", verb, kind, *options)
    return asked.stdout.strip() == "yes"


def attempt(control_plane: ControlPlane, user: str, *arguments: str, manifest: Object | None = None) -> str:
    """What the API server says to a user's attempt, on a server-side dry run; empty when it would be done."""
    stdin = None if manifest is None else json.dumps(manifest)
    given = [*arguments, "--filename", "-"] if manifest else list(arguments)
    finished = control_plane.kubectl(*given, "--dry-run=server", f"--as={user}", stdin=stdin)
    return finished.stderr if finished.returncode else ""


def pod(
    namespace: str, *, labels: dict[str, str] | None = None, container: Object | None = None, **spec: Any
) -> Object:
    """A pod as our own are, that differs by the arguments."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "made", "namespace": namespace, "labels": OURS if labels is None else labels},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "environment",
                    "image": "localhost/x:1",
                    "securityContext": {"allowPrivilegeEscalation": False},
                    **(container or {}),
                }
            ],
            **spec,
        },
    }


async def test_roles_are_bound_while_a_namespace_has_functions(
    control_plane: ControlPlane, granting: Granting, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first and after the last, neither reads a Secret or makes a pod there."""
    wanted = [(FRONTEND, "get", "secrets"), (FRONTEND, "create", "pods"), (OPERATOR, "create", "deployments.apps")]
    assert not any(may(control_plane, user, namespace, verb, resource) for user, verb, resource in wanted)
    await granting.ensure(namespace)
    await eventually(lambda: all(may(control_plane, user, namespace, *what) for user, *what in wanted))
    assert await granting.revoke(namespace) is not None
    monkeypatch.setattr(access, "KEPT_S", 0.0)
    assert await granting.revoke(namespace) is None
    await eventually(lambda: not any(may(control_plane, user, namespace, *what) for user, *what in wanted))


NEVER = [
    (OPERATOR, "get", "secrets"), (OPERATOR, "create", "pods"), (OPERATOR, "delete", "pods"),
    (OPERATOR, "patch", "pods"), (OPERATOR, "create", "pods/exec"), (OPERATOR, "create", "serviceaccounts/token"),
    (OPERATOR, "escalate", "clusterroles.rbac.authorization.k8s.io"), (OPERATOR, "impersonate", "users"),
    (OPERATOR, "create", "roles.rbac.authorization.k8s.io"),
    (OPERATOR, "create", "clusterrolebindings.rbac.authorization.k8s.io"),
    (FRONTEND, "list", "secrets"), (FRONTEND, "watch", "secrets"), (FRONTEND, "list", "configmaps"),
    (FRONTEND, "create", "pods/exec"), (FRONTEND, "create", "pods/ephemeralcontainers"),
    (FRONTEND, "get", "pods/log"), (FRONTEND, "patch", "namespaces"), (FRONTEND, "create", "deployments.apps"),
    (FRONTEND, "deletecollection", "pods"), (FRONTEND, "create", "rolebindings.rbac.authorization.k8s.io"),
    (FRONTEND, "create", "serviceaccounts/token"),
]  # fmt: skip


async def test_some_things_are_never_granted(control_plane: ControlPlane, granting: Granting, namespace: str) -> None:
    """Not even where they work."""
    await granting.ensure(namespace)
    assert [each for each in NEVER if may(control_plane, each[0], namespace, *each[1:])] == []


async def test_nothing_but_our_own_objects_is_touched(
    control_plane: ControlPlane, client: KubeClient, granting: Granting, namespace: str
) -> None:
    """The admission policy refuses what the roles would allow: pods, deployments and bindings of others."""
    await granting.ensure(namespace)
    strangers = pod(namespace, labels={"app": "theirs"})
    strangers["metadata"]["name"] = "theirs"
    assert control_plane.apply([strangers]).returncode == 0
    inside = ("--namespace", namespace)
    mine = json.dumps({"metadata": {"labels": OURS}})
    refused = "own service accounts change only objects labelled"
    await enforced(control_plane, namespace)
    for attempted in (
        attempt(control_plane, FRONTEND, "create", manifest=pod(namespace, labels={})),
        attempt(control_plane, FRONTEND, "patch", "pod", "theirs", *inside, "--type=merge", "--patch", mine),
        attempt(control_plane, FRONTEND, "delete", "pod", "theirs", *inside),
        attempt(control_plane, OPERATOR, "create", "deployment", "made", "--image=localhost/x:1", *inside),
    ):
        assert refused in attempted
    assert attempt(control_plane, FRONTEND, "create", manifest=pod(namespace)) == ""
    binding = await client.get(ROLE_BINDINGS, "kubelambda-frontend-account", namespace)
    assert binding["metadata"]["labels"] == OURS | BOUND


@pytest.mark.parametrize(
    ("container", "spec"),
    [
        ({}, {"hostNetwork": True}),
        ({}, {"hostPID": True}),
        ({}, {"automountServiceAccountToken": True}),
        ({}, {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}),
        ({}, {"volumes": [{"name": "secret", "secret": {"secretName": "theirs"}}]}),
        (
            {},
            {
                "serviceAccountName": "x",
                "volumes": [{"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}],
            },
        ),
        ({"securityContext": {"allowPrivilegeEscalation": True}}, {}),
        ({"securityContext": {}}, {}),
        ({"securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"add": ["SYS_ADMIN"]}}}, {}),
        ({"securityContext": {"allowPrivilegeEscalation": False, "procMount": "Unmasked"}}, {"hostUsers": False}),
        ({"ports": [{"containerPort": 80, "hostPort": 80}]}, {}),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "theirs", "key": "k"}}}]}, {}),
        ({"envFrom": [{"secretRef": {"name": "theirs"}}]}, {}),
    ],
)
async def test_pods_that_reach_beyond_themselves_are_refused(
    control_plane: ControlPlane, granting: Granting, namespace: str, container: Object, spec: Object
) -> None:
    """A frontend that was taken over gets no node, no Secret and no service account through a pod; nor an operator."""
    await granting.ensure(namespace)
    await enforced(control_plane, namespace)
    made = pod(namespace, container=container, **spec)
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": made["metadata"],
        "spec": {
            "selector": {"matchLabels": OURS},
            "template": {"metadata": {"labels": OURS}, "spec": made["spec"]},
        },
    }
    assert "environments" in attempt(control_plane, FRONTEND, "create", manifest=made)
    assert "environments" in attempt(control_plane, OPERATOR, "create", manifest=deployment)


async def test_a_namespace_changes_in_one_annotation_only(
    control_plane: ControlPlane, granting: Granting, namespace: str
) -> None:
    """Its labels decide, among other things, which Pod Security standard holds."""
    await granting.ensure(namespace)
    await enforced(control_plane, namespace)

    def patched(**metadata: Any) -> str:
        patch = json.dumps({"metadata": metadata})
        return attempt(control_plane, OPERATOR, "patch", "namespace", namespace, "--type=merge", "--patch", patch)

    refused = "change nothing of a namespace but"
    assert refused in patched(labels={"pod-security.kubernetes.io/enforce": "privileged"})
    assert refused in patched(annotations={"kubelambda.dev/concurrent-executions": "9"})
    assert refused in patched(finalizers=["kubelambda.dev/held"])
    assert patched(annotations={"kubelambda.dev/account-id": "123456789012"}) == ""


async def test_a_claim_changes_in_our_finalizer_only(
    control_plane: ControlPlane, granting: Granting, namespace: str
) -> None:
    """It is somebody else's, and holds their data."""
    await granting.ensure(namespace)
    await enforced(control_plane, namespace)
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"name": "data", "namespace": namespace, "finalizers": ["example.com/theirs"]}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}
    assert control_plane.apply([claim]).returncode == 0

    def patched(**found: Any) -> str:
        options = ("--namespace", namespace, "--type=merge", "--patch", json.dumps(found))
        return attempt(control_plane, OPERATOR, "patch", "persistentvolumeclaim", "data", *options)

    refused = "change nothing of a claim but our finalizer"
    theirs = ["kubernetes.io/pvc-protection", "example.com/theirs"]
    assert refused in patched(metadata={"labels": {"a": "b"}})
    assert refused in patched(metadata={"annotations": {"a": "b"}})
    assert refused in patched(metadata={"finalizers": ["kubelambda.dev/access-point-claim"]})
    assert refused in patched(spec={"volumeName": "theirs"})
    order = control_plane.kubectl(
        "get", "persistentvolumeclaim", "data", "--namespace", namespace, "--output=jsonpath={.metadata.finalizers}"
    )
    assert sorted(json.loads(order.stdout)) == sorted(theirs)
    assert patched(metadata={"finalizers": [*json.loads(order.stdout), "kubelambda.dev/access-point-claim"]}) == ""
    assert not may(control_plane, OPERATOR, namespace, "delete", "persistentvolumeclaims")
    assert not may(control_plane, FRONTEND, namespace, "patch", "persistentvolumeclaims")


async def test_pollers_write_no_lease_but_those_of_mappings(
    control_plane: ControlPlane, granting: Granting, namespace: str
) -> None:
    """Others elect their leaders with Leases of the same namespace."""
    await granting.ensure(namespace)
    await enforced(control_plane, namespace)

    def lease(name: str, owner: str = "u-1") -> Object:
        reference = {
            "apiVersion": "kubelambda.dev/v1alpha1",
            "kind": "EventSourceMapping",
            "name": "orders",
            "uid": owner,
        }
        metadata = {"name": name, "namespace": namespace, "ownerReferences": [reference]}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": {}}

    def held(name: str) -> str:
        holder = json.dumps({"spec": {"holderIdentity": "a-poller"}})
        options = ("--namespace", namespace, "--type=merge", "--patch", holder)
        return attempt(control_plane, POLLERS, "patch", "lease", name, *options)

    assert control_plane.apply([lease("leader-of-others")]).returncode == 0
    refused = "pollers write only Leases whose names begin with kubelambda-mapping-"
    await eventually(lambda: refused in attempt(control_plane, POLLERS, "create", manifest=lease("made")))
    assert refused in held("leader-of-others")
    foreign = attempt(control_plane, POLLERS, "create", manifest=lease("kubelambda-mapping-u-2"))
    assert "only for the EventSourceMapping that owns it" in foreign
    assert attempt(control_plane, POLLERS, "create", manifest=lease("kubelambda-mapping-u-1")) == ""
    assert control_plane.apply([lease("kubelambda-mapping-u-1")]).returncode == 0
    assert held("kubelambda-mapping-u-1") == ""
    assert not may(control_plane, POLLERS, namespace, "delete", "leases.coordination.k8s.io")


async def test_nobody_is_bound_to_anything_else(
    control_plane: ControlPlane, granting: Granting, namespace: str
) -> None:
    """Neither another role nor another subject."""
    await granting.ensure(namespace)
    await enforced(control_plane, namespace)

    def bound(role: str, account: str, *, in_namespace: str = SYSTEM_NAMESPACE) -> str:
        manifest = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "made", "namespace": namespace, "labels": OURS},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": in_namespace}],
        }
        return attempt(control_plane, OPERATOR, "create", manifest=manifest)

    refused = "bind only their own roles, and only to themselves"
    frontend = ROLES["kubelambda-frontend"]
    assert "forbidden" in bound("cluster-admin", "kubelambda-operator")
    assert refused in bound(frontend, "kubelambda-operator")
    assert refused in bound(frontend, "kubelambda-frontend", in_namespace=namespace)
    assert bound(frontend, "kubelambda-frontend") == ""


async def enforced(control_plane: ControlPlane, namespace: str) -> None:
    """Returns once the policy holds: an API server takes a moment to compile a new one, and to see a new binding."""

    def refuses() -> bool:
        return "own service accounts" in attempt(control_plane, FRONTEND, "create", manifest=pod(namespace, labels={}))

    await eventually(refuses)
