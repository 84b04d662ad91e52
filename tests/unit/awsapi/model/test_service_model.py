"""Requests find their operations, and errors their status and member, out of the service model alone."""

import pytest

from kubelambda.awsapi.model.service_model import ServiceModel

MODEL = ServiceModel.load("lambda")


@pytest.mark.parametrize(
    ("method", "path", "query", "operation", "labels"),
    [
        ("POST", "/2015-03-31/functions", {}, "CreateFunction", {}),
        ("GET", "/2015-03-31/functions/", {}, "ListFunctions", {}),
        ("GET", "/2015-03-31/functions/a%3Ab", {}, "GetFunction", {"FunctionName": "a:b"}),
        ("GET", "/2018-10-31/layers", {}, "ListLayers", {}),
        ("GET", "/2018-10-31/layers", {"find": ["LayerVersion"]}, "GetLayerVersionByArn", {}),
        (
            "GET",
            "/2019-09-30/functions/f/provisioned-concurrency",
            {"List": ["ALL"]},
            "ListProvisionedConcurrencyConfigs",
            {"FunctionName": "f"},
        ),
        (
            "GET",
            "/2019-09-30/functions/f/provisioned-concurrency",
            {"Qualifier": ["7"]},
            "GetProvisionedConcurrencyConfig",
            {"FunctionName": "f"},
        ),
        (
            "DELETE",
            "/2015-03-31/functions/f/policy/s%2F1",
            {},
            "RemovePermission",
            {"FunctionName": "f", "StatementId": "s/1"},
        ),
    ],
)
def test_a_request_finds_its_operation(
    method: str, path: str, query: dict[str, list[str]], operation: str, labels: dict[str, str]
) -> None:
    """By method, path and what the path's query must say."""
    found = MODEL.route(method, path, query)
    assert found is not None
    assert (found.operation.name, found.labels) == (operation, labels)


@pytest.mark.parametrize(("method", "path"), [("PATCH", "/2015-03-31/functions"), ("GET", "/"), ("GET", "/2015-03-31")])
def test_other_requests_find_none(method: str, path: str) -> None:
    """Another method, another path."""
    assert MODEL.route(method, path, {}) is None


@pytest.mark.parametrize(
    ("error", "status", "member"),
    [
        ("ResourceNotFoundException", 404, "Message"),
        ("ServiceException", 500, "Message"),
        ("InvalidParameterValueException", 400, "message"),
        ("ResourceConflictException", 409, "message"),
        ("PreconditionFailedException", 412, "message"),
        ("TooManyRequestsException", 429, "message"),
        ("CodeSigningConfigNotFoundException", 404, "Message"),
        ("ProvisionedConcurrencyConfigNotFoundException", 404, "message"),
    ],
)
def test_an_error_has_its_status_and_its_member(error: str, status: int, member: str) -> None:
    """§0.2 and §0.3, out of the model."""
    assert MODEL.error(error) == (status, member)


def test_every_shape_that_an_operation_names_exists() -> None:
    """The model is whole: nothing was lost when it was taken out."""
    for operation in MODEL.operations.values():
        for shape in (operation.input, operation.output):
            for member in MODEL.members(shape).values():
                assert MODEL.shape(member["shape"])["type"]
