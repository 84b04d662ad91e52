"""Several who write the same function: callers at once, GitOps tools, people; and a create that is half of one."""

import json
import threading
from collections.abc import Callable
from functools import partial

from tests.integration.control_api.control_api import HELLO, Answered, Api, zipped
from tests.integration.control_plane import ControlPlane
from tests.integration.functions import Functions

from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import FUNCTIONS

type Call = Callable[[], Answered]


def at_once(*calls: Call) -> list[Answered]:
    """Answers of calls that were sent at the same time."""
    found: list[Answered | None] = [None] * len(calls)

    def run(number: int) -> None:
        found[number] = calls[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [each for each in found if each is not None]


def test_of_many_that_create_one_succeeds(api: Api) -> None:
    """The others are told that it exists, and its code is whole."""
    answers = at_once(*[partial(api.create, "one", zipped(f"x = {number}")) for number in range(6)])
    assert sorted(found.status for found in answers) == [201] + [409] * 5
    winner = next(found for found in answers if found.status == 201)
    assert api.settled("one")["CodeSha256"] == winner.body["CodeSha256"]


def test_writes_of_two_callers_are_both_there(api: Api) -> None:
    """Neither is lost when both change other fields: tags here and concurrency there."""
    api.active("hello")
    tags = f"/2017-03-31/tags/{api.arn('hello').replace(':', '%3A')}"
    calls = [partial(api.call, "POST", tags, {"Tags": {f"k{number}": "v"}}) for number in range(5)]
    reserve = {"ReservedConcurrentExecutions": 3}
    calls.append(partial(api.function, "PUT", "hello", "/concurrency", reserve, date="2017-10-31"))
    assert {found.status for found in at_once(*calls)} == {200, 204}
    assert len(api.call("GET", tags).body["Tags"]) == 5
    assert api.function("GET", "hello").body["Concurrency"] == reserve


def test_of_two_with_the_same_revision_one_succeeds(api: Api) -> None:
    """RevisionId is what a caller has seen (§1.4.7)."""
    api.active("hello")
    revision = api.function("GET", "hello", "/configuration").body["RevisionId"]
    change = [
        partial(api.function, "PUT", "hello", "/configuration", {"MemorySize": memory, "RevisionId": revision})
        for memory in (256, 512)
    ]
    answers = at_once(*change)
    assert sorted(found.status for found in answers) in ([200, 412], [200, 409])


def test_an_update_while_another_is_under_way_is_refused(api: Api) -> None:
    """409 with Lambda's text: nothing observed the first one yet (§1.4.4)."""
    api.create("hello")
    refused = api.function("PUT", "hello", "/configuration", {"Timeout": 9})
    if refused.status == 200:  # the operator was quicker
        return
    assert (refused.status, refused.error) == (409, "ResourceConflictException")
    assert refused.text.startswith("The operation cannot be performed at this time. ")


def test_what_gitops_declares_is_not_written(api: Api, control_plane: ControlPlane, functions: Functions) -> None:
    """409 that names field and manager; what it does not declare can be changed."""
    manifest = functions.manifest("declared", timeout=5)
    applied = control_plane.kubectl(
        "apply", "--server-side", "--field-manager=argocd-controller", "--filename", "-", stdin=json.dumps(manifest)
    )
    assert applied.returncode == 0, applied.stderr
    api.settled("declared")
    refused = api.function("PUT", "declared", "/configuration", {"Timeout": 6})
    assert (refused.status, refused.error) == (409, "ResourceConflictException")
    assert refused.text.startswith(f"spec.timeout of {api.arn('declared')} is declared by argocd-controller")
    assert api.function("PUT", "declared", "/configuration", {"MemorySize": 512}).status == 200


def test_what_kubectl_did_not_write_the_api_may(api: Api, control_plane: ControlPlane, functions: Functions) -> None:
    """`kubectl apply` declares what is in its file, and no default that Kubernetes added to it."""
    manifest = json.dumps(functions.manifest("declared", timeout=5))
    applied = control_plane.kubectl("apply", "--filename", "-", stdin=manifest)
    assert applied.returncode == 0, applied.stderr
    api.settled("declared")
    refused = api.function("PUT", "declared", "/configuration", {"Timeout": 6})
    assert refused.text.startswith(f"spec.timeout of {api.arn('declared')} is declared by kubectl-client-side-apply")
    grant = {"StatementId": "bucket", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    assert api.function("POST", "declared", "/policy", grant).status == 201
    assert control_plane.kubectl("apply", "--filename", "-", stdin=manifest).returncode == 0
    assert api.function("GET", "declared", "/policy").status == 200


async def test_what_the_api_made_gitops_can_take_over(
    api: Api, control_plane: ControlPlane, client: KubeClient, functions: Functions
) -> None:
    """`kubectl apply` of a changed manifest is deployed, and from then on the field is theirs."""
    api.active("taken")
    body = await client.get(FUNCTIONS, "taken", api.namespace)
    spec = body["spec"] | {"timeout": 11}
    functions.apply("taken", **spec)
    found = api.until("taken", lambda each: each["Timeout"] == 11 and each["LastUpdateStatus"] == "Successful")
    assert found["CodeSize"] == len(HELLO)
    assert api.function("PUT", "taken", "/configuration", {"Timeout": 12}).status == 409


async def test_unserved_members_are_refused_and_nothing_is_made(api: Api) -> None:
    """With the words of the kind, and never a false success."""
    refused = api.create("hello", TracingConfig={"Mode": "Active"})
    assert (refused.status, refused.error) == (400, "InvalidParameterValueException")
    assert "tracingConfig is not served by this release of kubelambda" in refused.text
    refused = api.create("hello", KMSKeyArn="arn:aws:kms:us-east-1:123456789012:key/x")
    assert refused.status == 400
    assert refused.text.startswith("KMSKeyArn is not served by this release of kubelambda")
    refused = api.create(
        "hello", Environment={"Variables": {"STAGE": "live", "AWS_REGION": "x", "LAMBDA_TASK_ROOT": "y"}}
    )
    assert (refused.status, refused.error) == (400, "InvalidParameterValueException")
    assert refused.text.endswith("Reserved keys used in this request: AWS_REGION, LAMBDA_TASK_ROOT")
    assert api.function("GET", "hello").status == 404


async def test_an_unserved_member_of_an_update_is_named(api: Api) -> None:
    """Though the API server says so behind the whole object, which it repeats."""
    api.active("changed")
    refused = api.function(
        "PUT", "changed", "/configuration", {"KMSKeyArn": "arn:aws:kms:us-east-1:123456789012:key/x"}
    )
    assert (refused.status, refused.error) == (400, "InvalidParameterValueException")
    assert refused.text.startswith("KMSKeyArn is not served by this release of kubelambda")
