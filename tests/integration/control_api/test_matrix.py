"""Every operation that is served: the good call, and each wrong one that can be made of it."""

import base64
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.control_api.control_api import HELLO, Api
from tests.integration.control_api.matrix import GOOD, MODEL, PENDING, STALE_REVISION, Case, cases
from tests.integration.control_api.recorded import filled
from tests.integration.control_plane import ControlPlane
from tests.integration.processes import Component, Installation
from tests.signer import Signer

from kubelambda.awsapi import operations
from kubelambda.awsapi.model import constraints
from kubelambda.core.account.identity import account_id

CASES = cases()
QUEUE = "arn:aws:sqs:us-east-1:123456789012:queue"
BEYOND_THE_MODEL = {"lastUpdateStatusReasonCode", "codeSigningConfigArn"}
"""AWS answers `Creating` in the first (§1.4.3) and leaves the second out, whatever its model says."""
MAPPINGS = "/2015-03-31/event-source-mappings"


@pytest.fixture(scope="module")
def caller(serving: tuple[Installation, str], control_plane: ControlPlane) -> Api:
    """A caller in an account with what `matrix.yaml` speaks of."""
    created = control_plane.kubectl("create", "namespace", "matrix", "--output", "json")
    api = Api(serving[1], "matrix", account_id(json.loads(created.stdout)["metadata"]["uid"]))
    api.known()
    api.active("hello")
    assert api.function("POST", "hello", "/versions", {}).status == 201
    assert api.function("POST", "hello", "/aliases", {"Name": "live", "FunctionVersion": "1"}).status == 201
    grant = {"StatementId": "first", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    assert api.function("POST", "hello", "/policy", grant).status == 201
    content = {"Content": {"ZipFile": base64.b64encode(HELLO).decode()}}
    assert api.call("POST", "/2018-10-31/layers/shared/versions", content).status == 201
    statement = {"StatementId": "kept", "Action": "lambda:GetLayerVersion", "Principal": "*"}
    assert api.call("POST", "/2018-10-31/layers/shared/versions/1/policy", statement).status == 201
    assert control_plane.apply([Signer().config("csc-matrix00000000000", "matrix")]).returncode == 0
    return api


@pytest.fixture(scope="module")
def mapping(caller: Api, poller: Component) -> str:
    """UUID of a mapping of a queue."""
    found = caller.call("POST", MAPPINGS, {"FunctionName": "hello", "EventSourceArn": QUEUE})
    assert found.status == 202, found
    return str(found.body["UUID"])


@pytest.fixture(scope="module")
def silent() -> Iterator[str]:
    """Address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/code.zip"


def make_pending(control_plane: ControlPlane, address: str) -> None:
    """The function `pending`, whose code is fetched all the time that the test takes."""
    manifest = {
        "apiVersion": "kubelambda.dev/v1alpha1",
        "kind": "Function",
        "metadata": {"name": "pending", "namespace": "matrix"},
        "spec": {
            "runtime": "python3.13",
            "handler": "index.handler",
            "code": {"url": address, "sha256": "ab" * 32},
        },
    }
    control_plane.kubectl("delete", "function", "pending", "--namespace", "matrix", "--ignore-not-found")
    created = control_plane.kubectl("create", "--filename", "-", stdin=json.dumps(manifest))
    assert created.returncode == 0, created.stderr


def settled(api: Api, uuid: str) -> None:
    """Waits until no change of function and mapping is under way."""
    api.settled("hello")
    deadline = time.monotonic() + 90
    while True:
        found = api.call("GET", f"{MAPPINGS}/{uuid}")
        if found.status != 200 or found.body["State"] in ("Enabled", "Disabled"):
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_answer_is_lambdas(caller: Api, mapping: str, silent: str, control_plane: ControlPlane, case: Case) -> None:
    """Status, type and text of errors; of a success the status, and members that fit the service model."""
    if case.column in (GOOD, STALE_REVISION):  # a change that is under way is refused before a revision is looked at
        settled(caller, mapping)
    if case.column == PENDING:
        make_pending(control_plane, silent)
    method, _, path = filled(case.request, caller).replace("{uuid}", mapping).partition(" ")
    body = None if case.body is None else filled(case.body, caller)
    found = caller.call(method, path, body)
    assert (found.status, found.error) == (case.status, case.error), found
    if case.error:
        assert found.text == filled(case.text, caller)
        assert MODEL.error(case.error)[1] in found.body
    elif found.body:
        check_members(case.operation, found.body)


def check_members(operation: str, body: dict[str, Any]) -> None:
    """Every member is one of the operation's answer, and of its type."""
    wrong = constraints.violations(MODEL, MODEL.operations[operation].output, body)
    assert not [each for each in wrong if each.path.rpartition(".")[2] not in BEYOND_THE_MODEL]


def test_every_operation_that_is_served_is_tried() -> None:
    """One that is served and not in the matrix would be served unseen."""
    assert {case.operation for case in CASES if case.column == GOOD} == set(operations.LAMBDA)
