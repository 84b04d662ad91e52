"""Every recorded answer of a served operation, asked for again: the same status, type and text."""

import base64
import json
from collections.abc import Iterator

import pytest
from tests.integration.buckets import Buckets, serving_buckets
from tests.integration.control_api.control_api import HELLO, Api
from tests.integration.control_api.recorded import ANSWERS, Recorded, filled
from tests.integration.control_plane import ControlPlane
from tests.integration.processes import Installation

from kubelambda.awsapi.model.service_model import ServiceModel
from kubelambda.core.account.identity import account_id

MODEL = ServiceModel.load("lambda")


@pytest.fixture(scope="module")
def buckets() -> Iterator[Buckets]:
    """With an object that can be had."""
    with serving_buckets() as found:
        found.put("code", "hello.zip", HELLO)
        yield found


@pytest.fixture(scope="module")
def caller(serving: tuple[Installation, str], control_plane: ControlPlane, buckets: Buckets) -> Api:
    """A caller in an account with what `recorded.yaml` speaks of."""
    created = control_plane.kubectl("create", "namespace", "recorded", "--output", "json")
    assert control_plane.apply([buckets.secret("recorded")]).returncode == 0
    found = Api(serving[1], "recorded", account_id(json.loads(created.stdout)["metadata"]["uid"]))
    found.known()
    found.active("hello")
    content = {"Content": {"ZipFile": base64.b64encode(HELLO).decode()}}
    permission = {"StatementId": "s1", "Action": "lambda:GetLayerVersion", "Principal": "*"}
    grant = {"StatementId": "first", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    source = {"EventSourceArn": "arn:aws:sqs:us-east-1:123456789012:queue", "FunctionName": "hello"}
    made = [
        found.function("POST", "hello", "/versions", {}),
        found.function("POST", "hello", "/aliases", {"Name": "known", "FunctionVersion": "1"}),
        found.function("POST", "hello", "/policy?Qualifier=1", grant),
        found.call("POST", "/2018-10-31/layers/shared/versions", content),
        found.call("POST", "/2018-10-31/layers/shared/versions", content),
        found.call("POST", "/2018-10-31/layers/shared/versions/1/policy", permission),
        found.call("POST", "/2015-03-31/event-source-mappings", source),
    ]
    assert {answer.status for answer in made} <= {201, 202}, made
    return found


@pytest.mark.parametrize("recorded", ANSWERS, ids=str)
def test_the_answer_is_the_recorded_one(caller: Api, recorded: Recorded) -> None:
    """Status, type, text, and the members that every answer has (§0.2)."""
    method, _, path = filled(recorded.request, caller).partition(" ")
    body = None if recorded.body is None else filled(recorded.body, caller)
    found = caller.call(method, path, body)
    assert (found.status, found.error) == (recorded.status, recorded.error), found
    assert found.headers["x-amzn-requestid"]
    if recorded.error:
        wanted = filled(recorded.text, caller)
        if wanted.endswith("…"):
            assert found.text.startswith(wanted[:-1])
        else:
            assert found.text == wanted
        in_front = recorded.error == "AccessDeniedException"  # of the service, whose model does not have it (§0.3)
        assert ("Message" if in_front else MODEL.error(recorded.error)[1]) in found.body


def test_every_recording_is_about_an_operation() -> None:
    """Names of the service model, so that they can be counted."""
    assert {recorded.operation for recorded in ANSWERS} <= MODEL.operations.keys()
