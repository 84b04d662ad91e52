"""Sums of what an account uses, from changes alone."""

import random
from typing import Any, cast

import pytest

from kubelambda.awsapi.account.account_use import AccountTotal, AccountUse, function_use
from kubelambda.awsapi.function.function_configuration import configuration
from kubelambda.awsapi.function.listed_functions import InvalidMarker, packed, uid_of, unpacked
from kubelambda.kube.kube_client import KubeClient


def function(name: str, version: int, *, size: int = 0, reserved: int | None = None) -> dict[str, Any]:
    """A Function object."""
    return {
        "metadata": {"namespace": "n", "name": name, "resourceVersion": str(version)},
        "spec": {"code": {}, "reservedConcurrentExecutions": reserved},
        "status": {"codeSize": size},
    }


async def test_sums_are_those_of_what_is_there() -> None:
    """After any history of changes, additions and deletions."""
    use = AccountUse(cast("KubeClient", None))
    there: dict[str, dict[str, Any]] = {}
    random.seed(5)
    for step in range(500):
        name = f"f{random.randrange(20)}"
        body = function(name, step, size=random.randrange(100), reserved=random.choice([None, 0, 7]))
        gone = random.random() < 0.3
        use.functions._observe(body, deleted=gone)
        if gone:
            there.pop(name, None)
        else:
            there[name] = body
    for each in (use.functions, use.versions, use.layers):
        each.synced.set()
    views = [function_use(body) for body in there.values()]
    assert await use.total("n") == AccountTotal(
        functions=len(views), code_size=sum(v.code_size for v in views), reserved=sum(v.reserved for v in views)
    )
    assert await use.total("other") == AccountTotal()


async def test_pages_are_by_name_and_leave_out_what_is_being_deleted() -> None:
    """Whatever comes and goes between two pages, what is there all the while is on exactly one."""
    use = AccountUse(cast("KubeClient", None))
    for step, name in enumerate(("d", "b", "f", "a", "e")):
        use.functions._observe(function(name, step), deleted=False)
    use.functions.synced.set()
    first, marker = await use.listed("n", None, 2)
    assert [each["metadata"]["name"] for each in first] == ["a", "b"]
    going = function("e", 9)
    going["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    use.functions._observe(going, deleted=False)
    for name, gone in (("b", True), ("aa", False), ("c", False)):
        use.functions._observe(function(name, 10), deleted=gone)
    second, marker = await use.listed("n", marker, 2)
    assert [each["metadata"]["name"] for each in second] == ["c", "d"]
    third, marker = await use.listed("n", marker, 2)
    assert ([each["metadata"]["name"] for each in third], marker) == (["f"], None)
    assert await use.listed("other", None, 2) == ([], None)
    use.functions._observe(going, deleted=True)
    assert [each["metadata"]["name"] for each in (await use.listed("n", None, 50))[0]] == ["a", "aa", "c", "d", "f"]


@pytest.mark.parametrize("marker", ["no", "n\u00e4", "YQ", "\x00", "AAAA===="])
async def test_what_no_list_returned_is_no_marker(marker: str) -> None:
    """It is told, and nothing is listed from somewhere."""
    use = AccountUse(cast("KubeClient", None))
    use.functions._observe(function("a", 1), deleted=False)
    use.functions.synced.set()
    with pytest.raises(InvalidMarker):
        await use.listed("n", marker, 2)


def test_a_packed_function_has_the_same_configuration() -> None:
    """And neither code nor what belongs to it alone; how it is kept concerns nobody."""
    body: dict[str, Any] = {
        "metadata": {
            "name": "all",
            "namespace": "n",
            "uid": "6d4c8b8e-0f4e-4f7e-8b7e-7d9b0f3b6a11",
            "generation": 3,
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {
            "functionName": "All",
            "runtime": "python3.13",
            "handler": "index.handler",
            "code": {"inline": "secret" * 10_000, "stored": {"sha256": "ab" * 32, "size": 7}},
            "environment": {"variables": {"STAGE": "live"}},
            "layers": ["shared:2"],
            "permissions": [{"sid": "s"}],
            "tags": {"team": "a"},
            "vpcConfig": {"subnetIds": ["a"], "securityGroupIds": ["b"]},
        },
        "status": {
            "observedGeneration": 2,
            "state": "Active",
            "stateReason": "r",
            "lastUpdateStatus": "Failed",
            "lastUpdateStatusReason": "why",
            "lastUpdateStatusReasonCode": "InvalidZipFileException",
            "lastModified": "2026-01-02T03:04:05.000+0000",
            "codeSize": 9,
            "codeSha256": "x",
            "conditions": [{"type": "Ready"}],
            "deployed": {
                "environment": {"STAGE": "before"},
                "layers": [{"arn": "arn:aws:lambda:us-east-1:1:layer:shared:2", "size": 5}],
                "signing": {"profileVersionArn": "arn:aws:signer:us-east-1:1:/signing-profiles/p/1", "job": "j"},
            },
        },
    }
    small = unpacked(packed(body))
    assert configuration(small, "us-east-1", "1") == configuration(body, "us-east-1", "1")
    assert len(packed(body)) < 1_000
    assert uid_of(packed(body)) == body["metadata"]["uid"]
    current = {**body, "status": {}}
    assert configuration(unpacked(packed(current)), "us-east-1", "1")["State"] == "Pending"
