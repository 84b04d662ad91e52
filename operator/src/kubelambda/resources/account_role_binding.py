"""What lets our own service accounts work in a namespace: one binding each, there while it has Functions."""

from collections.abc import Mapping

from kubelambda.api import labels
from kubelambda.resources.environment_pod import Manifest


def binding_name(service_account: str) -> str:
    """Name of the binding of one of our service accounts."""
    return f"{service_account}-account"


def account_role_bindings(namespace: str, system_namespace: str, roles: Mapping[str, str]) -> list[Manifest]:
    """A binding for each of `roles`, which are ClusterRoles by service account of `system_namespace`."""
    return [
        {
            "metadata": {
                "name": binding_name(account),
                "namespace": namespace,
                "labels": {labels.MANAGED_BY: labels.MANAGER, labels.ACCOUNT_ROLE: ""},
            },
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": system_namespace}],
        }
        for account, role in sorted(roles.items())
    ]
