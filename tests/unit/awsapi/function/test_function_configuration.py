"""A Function object in Lambda's words."""

from typing import Any

from kubelambda.awsapi.function.function_configuration import configuration

ARN = "arn:aws:lambda:us-east-1:123456789012:layer"


def body(**spec: Any) -> dict[str, Any]:
    """A Function with one layer deployed."""
    return {
        "metadata": {
            "name": "hello",
            "uid": "6f2d5f0e-7a3f-4b59-9a39-0f7f0d8f3c11",
            "generation": 1,
            "creationTimestamp": "2026-01-02T03:04:05Z",
        },
        "spec": {"runtime": "python3.13", "handler": "index.handler", "code": {"inline": "x"}, **spec},
        "status": {"observedGeneration": 1, "deployed": {"layers": [{"arn": f"{ARN}:numpy:2", "size": 567}]}},
    }


def test_layers_are_told_by_arn_and_size() -> None:
    """A short name becomes the ARN that Lambda's clients expect; one that is not deployed yet has no size."""
    found = configuration(body(layers=["numpy:2", f"{ARN}:tools:1"]), "us-east-1", "123456789012")
    assert found["Layers"] == [
        {"Arn": f"{ARN}:numpy:2", "CodeSize": 567},
        {"Arn": f"{ARN}:tools:1", "CodeSize": 0},
    ]


def test_a_function_without_layers_has_no_such_member() -> None:
    """As Lambda answers it."""
    assert "Layers" not in configuration(body(), "us-east-1", "123456789012")
