"""The definition of Subnet."""

from kubelambda.api.kinds.subnet import SubnetSpec, SubnetStatus
from kubelambda.resources.definitions.definition import Manifest, column, definition


def subnet_definition() -> Manifest:
    """Subnets, and what `kubectl get` shows of them."""
    return definition(
        kind="Subnet",
        plural="subnets",
        short=None,
        scope="Namespaced",
        spec=SubnetSpec,
        status=SubnetStatus,
        columns=[
            column("Zone", ".spec.availabilityZone"),
            column("Internet", ".spec.internet", "boolean"),
            column("Age", ".metadata.creationTimestamp", "date"),
        ],
        initial_status={},
        rules=[],
    )
