"""The document of the control API says what is served, operation by operation."""

import re
from pathlib import Path

import pytest

from kubelambda.awsapi import operations
from kubelambda.awsapi.model.service_model import ServiceModel

DOCUMENT = (Path(__file__).parent.parent.parent.parent / "docs" / "control-api.md").read_text()
BY_FRONTENDS = {"Invoke"}


@pytest.mark.parametrize(
    ("model", "title", "served"),
    [
        ("lambda", "Lambda", operations.LAMBDA.keys() | BY_FRONTENDS),
        ("application-autoscaling", "Application Auto Scaling", operations.SCALING.keys()),
    ],
)
def test_the_document_lists_every_operation(model: str, title: str, served: set[str]) -> None:
    """Served or 501, of every operation of the service model, and of no other."""
    section = DOCUMENT.partition(f"### {title}\n")[2].partition("\n### ")[0]
    listed = dict(re.findall(r"^\| (\w+) \| (served|501) \|$", section, re.MULTILINE))
    assert listed == {name: "served" if name in served else "501" for name in ServiceModel.load(model).operations}


def test_handlers_are_of_operations_that_exist() -> None:
    """A handler under a wrong name would never be called."""
    assert operations.LAMBDA.keys() <= ServiceModel.load("lambda").operations.keys()
    assert operations.SCALING.keys() <= ServiceModel.load("application-autoscaling").operations.keys()
