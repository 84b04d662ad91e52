"""The document of the control API says what is served, operation by operation."""

import re
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from tests.integration.control_api import answer_table
from tests.integration.control_api.recorded import ANSWERS

from kubelambda.awsapi import operations
from kubelambda.awsapi.model.service_model import ServiceModel

DOCUMENT = (Path(__file__).parent.parent.parent.parent / "docs" / "control-api.md").read_text()
BY_FRONTENDS = {"Invoke", "InvokeAsync", "InvokeWithResponseStream"}


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


def test_the_table_of_what_is_tried_is_current() -> None:
    """`make api-table` writes it."""
    assert answer_table.DOCUMENT.read_text() == answer_table.table()


def test_recorded_answers_are_of_the_service_model() -> None:
    """Each request is one of its operation, and each error of a success's or an error's status in the model."""
    model = ServiceModel.load("lambda")
    for recorded in ANSWERS:
        method, _, address = recorded.request.partition(" ")
        path, _, query = address.partition("?")
        route = model.route(method, path, parse_qs(query, keep_blank_values=True))
        assert route is not None, recorded
        assert route.operation.name == recorded.operation, recorded
        if not recorded.error:
            assert recorded.status in (route.operation.status, 204), recorded
        elif recorded.error == "AccessDeniedException":  # not in the model (§0.3)
            assert recorded.status == 403, recorded
        elif recorded.error != "ValidationException":
            assert recorded.status == model.error(recorded.error)[0], recorded
