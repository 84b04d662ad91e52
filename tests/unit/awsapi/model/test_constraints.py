"""Violations of shapes in Lambda's words (§0.4)."""

from typing import Any

import pytest

from kubelambda.awsapi.model import constraints
from kubelambda.awsapi.model.service_model import ServiceModel

MODEL = ServiceModel.load("lambda")
GOOD: dict[str, Any] = {
    "FunctionName": "hello",
    "Role": "arn:aws:iam::123456789012:role/lambda",
    "Code": {"ZipFile": "UEsDBA=="},
    "Runtime": "python3.13",
    "Handler": "index.handler",
}


def said(operation: str, parameters: dict[str, Any]) -> str:
    """What the caller reads; empty when all is well."""
    found = constraints.violations(MODEL, MODEL.operations[operation].input, parameters)
    return constraints.message(found) if found else ""


def test_good_parameters_violate_nothing() -> None:
    """A plain CreateFunction."""
    assert said("CreateFunction", GOOD) == ""


CASES: list[tuple[dict[str, Any], str, str, str]] = [
    ({"MemorySize": 64}, "'64'", "memorySize", "Member must have value greater than or equal to 128"),
    ({"Timeout": 901}, "'901'", "timeout", "Member must have value less than or equal to 900"),
    ({"PackageType": "Jar"}, "'Jar'", "packageType", "Member must satisfy enum value set: [Zip, Image]"),
    ({"Handler": "a b"}, "'a b'", "handler", "Member must satisfy regular expression pattern: [^\\s]+"),
    ({"Description": "x" * 257}, f"'{'x' * 257}'", "description", "Member must have length less than or equal to 256"),
    ({"Role": None}, "null", "role", "Member must not be null"),
    (
        {"EphemeralStorage": {"Size": 100}},
        "'100'",
        "ephemeralStorage.size",
        "Member must have value greater than or equal to 512",
    ),
    ({"Timeout": "3"}, "'3'", "timeout", "Member must be an integer"),
    ({"Publish": 1}, "'1'", "publish", "Member must be true or false"),
    (
        {"VpcConfig": {"SubnetIds": ["s"] * 17}},
        f"'[{', '.join(['s'] * 17)}]'",
        "vpcConfig.subnetIds",
        "Member must have length less than or equal to 16",
    ),
    ({"Wings": 2}, "'2'", "wings", "Member is unknown to this operation"),
    ({"Code": {"ZipFil": "x"}}, "'x'", "code.zipFil", "Member is unknown to this operation"),
]


@pytest.mark.parametrize(("more", "value", "member", "constraint"), CASES)
def test_one_violation(more: dict[str, Any], value: str, member: str, constraint: str) -> None:
    """Value, member and constraint, as Lambda words them."""
    text = f"1 validation error detected: Value {value} at '{member}' failed to satisfy constraint: {constraint}"
    assert said("CreateFunction", GOOD | more) == text


def test_values_that_are_secrets_are_not_repeated() -> None:
    """Environment variables are said to be wrong, and not what they are."""
    text = said("CreateFunction", GOOD | {"Environment": {"Variables": {"1A": "secret"}}})
    constraint = "[Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]"
    where = "Value at 'environment.variables' failed to satisfy constraint: Map keys must satisfy constraint: "
    assert text == f"1 validation error detected: {where}{constraint}"


def test_several_violations_are_one_answer() -> None:
    """Counted, and joined with semicolons."""
    text = said("CreateFunction", GOOD | {"MemorySize": 1, "Timeout": 0})
    assert text.startswith("2 validation errors detected: Value '0' at 'timeout'")
    assert text.count("; Value '1' at 'memorySize'") == 1


def test_the_qualifier_comes_before_the_name() -> None:
    """As recorded for GetFunction (§1.2.1a)."""
    text = said("GetFunction", {"FunctionName": "a b", "Qualifier": "c d"})
    assert text.startswith("2 validation errors detected: Value 'c d' at 'qualifier'")
    assert "; Value 'a b' at 'functionName' failed to satisfy constraint: Member must satisfy regular" in text


@pytest.mark.parametrize("name", ["lambda", "application-autoscaling"])
def test_every_operation_can_be_checked(name: str) -> None:
    """Nothing at all is a violation for each required member, and no pattern is more than Python understands."""
    model = ServiceModel.load(name)
    for operation in model.operations.values():
        wanted = operation.input
        required = model.shape(wanted).get("required", []) if wanted else []
        assert len(constraints.violations(model, wanted, {})) == len(required)
        everything = dict.fromkeys(model.members(wanted), "ä x")
        assert isinstance(constraints.violations(model, wanted, everything), list)


def test_characters_of_every_plane_are_characters() -> None:
    """Java writes those beyond the first as pairs."""
    model = ServiceModel.load("application-autoscaling")
    given = {"ServiceNamespace": "lambda", "ScalableDimension": "lambda:function:ProvisionedConcurrency"}
    wanted = model.operations["RegisterScalableTarget"].input
    assert not constraints.violations(model, wanted, given | {"ResourceId": "f \U0001f600 \u00e4"})
    assert constraints.violations(model, wanted, given | {"ResourceId": "f \x01"})
