"""What operations take in Kubernetes."""

import pytest

from kubelambda.awsapi.model.service_model import ServiceModel
from kubelambda.core.account.kubernetes_access import ResourceAccess, invoke_access, operation_access


@pytest.mark.parametrize(
    ("operation", "verb", "resource", "name"),
    [
        ("CreateFunction", "create", "functions", ""),
        ("GetFunction", "get", "functions", "f"),
        ("ListFunctions", "list", "functions", ""),
        ("UpdateFunctionCode", "update", "functions", "f"),
        ("DeleteFunction", "delete", "functions", "f"),
        ("DeleteFunctionConcurrency", "update", "functions", "f"),
        ("AddPermission", "update", "functions", "f"),
        ("RemovePermission", "update", "functions", "f"),
        ("GetPolicy", "get", "functions", "f"),
        ("TagResource", "update", "functions", "f"),
        ("PublishVersion", "create", "functionversions", ""),
        ("ListVersionsByFunction", "list", "functionversions", ""),
        ("CreateAlias", "create", "aliases", ""),
        ("DeleteAlias", "delete", "aliases", ""),
        ("PutProvisionedConcurrencyConfig", "update", "aliases", ""),
        ("DeleteProvisionedConcurrencyConfig", "update", "aliases", ""),
        ("RegisterScalableTarget", "update", "aliases", ""),
        ("DescribeScalingPolicies", "list", "aliases", ""),
        ("CreateEventSourceMapping", "create", "eventsourcemappings", ""),
        ("DeleteEventSourceMapping", "delete", "eventsourcemappings", ""),
        ("PublishLayerVersion", "create", "layers", ""),
        ("DeleteLayerVersion", "delete", "layers", ""),
        ("RemoveLayerVersionPermission", "update", "layers", ""),
        ("CreateCodeSigningConfig", "create", "codesigningconfigs", ""),
        ("DeleteCodeSigningConfig", "delete", "codesigningconfigs", ""),
        ("UpdateCodeSigningConfig", "update", "codesigningconfigs", ""),
        ("ListFunctionsByCodeSigningConfig", "list", "functions", ""),
        ("PutFunctionCodeSigningConfig", "update", "functions", "f"),
        ("DeleteFunctionCodeSigningConfig", "update", "functions", "f"),
    ],
)
def test_operations_are_verbs_on_our_resources(operation: str, verb: str, resource: str, name: str) -> None:
    """A part of a function that is deleted is an update of it."""
    assert operation_access(operation, "team", "f") == ResourceAccess("team", resource, verb, name)


def test_no_operation_that_changes_something_is_a_read() -> None:
    """Over all of Lambda's and of Application Auto Scaling's."""
    for service in ("lambda", "application-autoscaling"):
        for operation in ServiceModel.load(service).operations:
            reads = operation_access(operation, "team").verb in ("get", "list")
            assert reads == operation.startswith(("Get", "List", "Describe")), operation


def test_invoking_has_a_subresource_of_its_own() -> None:
    """Who may change a function may not invoke it thereby, nor the other way round."""
    assert invoke_access("team", "f") == ResourceAccess("team", "functions", "create", "f", "invoke")
