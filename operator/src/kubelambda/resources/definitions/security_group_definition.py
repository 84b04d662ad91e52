"""The definition of SecurityGroup."""

from kubelambda.api.kinds.security_group import SecurityGroupSpec, SecurityGroupStatus
from kubelambda.api.validations import rule
from kubelambda.resources.definitions.definition import Manifest, column, definition


def security_group_definition() -> Manifest:
    """SecurityGroups, and what `kubectl get` shows of them."""
    return definition(
        kind="SecurityGroup",
        plural="securitygroups",
        short="sg",
        scope="Namespaced",
        spec=SecurityGroupSpec,
        status=SecurityGroupStatus,
        columns=[
            column("Age", ".metadata.creationTimestamp", "date"),
        ],
        initial_status={},
        rules=[
            rule("self.metadata.name.size() <= 63", "the name of a SecurityGroup is part of a label: 63 characters")
        ],
    )
