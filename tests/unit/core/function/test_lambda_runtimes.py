"""Names of runtimes: what Lambda says of its own, and what a cluster says that lacks one."""

import json
from pathlib import Path

import pytest

import kubelambda.awsapi
from kubelambda.api.kinds.function import FunctionSpec
from kubelambda.api.kinds.function_image import IMAGE_RUNTIME
from kubelambda.core.function import lambda_runtimes

BLOCKED_TEXT = (
    "The runtime parameter of python3.7 is no longer supported for creating or updating AWS Lambda functions. "
    "We recommend you use a supported runtime while creating or updating functions."
)
THERE = ["python3.13", IMAGE_RUNTIME, "nodejs24.x"]


def test_every_runtime_of_lambdas_api_is_known() -> None:
    """The service model has their names; `custom` is nobody's."""
    model = json.loads((Path(kubelambda.awsapi.__file__).parent / "model" / "lambda.json").read_text())
    assert set(model["shapes"]["Runtime"]["enum"]) - {"custom"} <= lambda_runtimes.KNOWN


@pytest.mark.parametrize("name", sorted(lambda_runtimes.KNOWN))
def test_a_function_may_name_any_of_them(name: str) -> None:
    """What a Runtime object of that name would serve."""
    assert FunctionSpec(runtime=name, handler="a.b", code={"inline": "x"}).runtime == name


def test_what_stands_beside_images_is_no_runtime_of_functions() -> None:
    """It is a Runtime object like the others."""
    assert lambda_runtimes.BESIDE_IMAGES == IMAGE_RUNTIME
    assert lambda_runtimes.names_of(THERE) == ["nodejs24.x", "python3.13"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "python3.7",
            f"{BLOCKED_TEXT} In this cluster there are: nodejs24.x, python3.13",
        ),
        (
            "dotnet8",
            "Runtime dotnet8 is one of Lambda's and has no image here; there are: nodejs24.x, python3.13",
        ),
        ("cobol85", "Runtime cobol85 does not exist; there are: nodejs24.x, python3.13"),
    ],
)
def test_an_absent_runtime_is_told_by_what_it_is(name: str, text: str) -> None:
    """Blocked by Lambda, Lambda's but not here, or nobody's."""
    assert lambda_runtimes.absence(name, THERE).startswith(text)


def test_a_cluster_without_runtimes_says_so() -> None:
    """Rather than nothing."""
    assert lambda_runtimes.absence("cobol85", [IMAGE_RUNTIME]).endswith("there are: none")
