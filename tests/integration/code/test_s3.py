"""Code out of buckets: operator, code fetcher, code store and API server, and a server that verifies signatures."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.buckets import Buckets, serving_buckets
from tests.integration.code.test_code import zipped
from tests.integration.code.test_layers import Layers
from tests.integration.control_plane import CODE_FETCHER_TOKEN, ControlPlane, service_account
from tests.integration.functions import Functions, condition
from tests.integration.processes import Installation
from tests.integration.stage import Stage

from kubelambda.kube.kube_client import KubeClient, Object

PATIENCE_S = 60


@pytest.fixture(scope="module")
def buckets() -> Iterator[Buckets]:
    """Buckets for every test of this file."""
    with serving_buckets() as found:
        yield found


@pytest.fixture(scope="module")
def running(stage: Stage, tmp_path_factory: pytest.TempPathFactory, buckets: Buckets) -> Installation:
    """An installation that says where buckets are, in a network that no namespace may name, and who it is there."""
    credentials = tmp_path_factory.mktemp("s3")
    for name, value in buckets.keys.items():
        (credentials / name).write_text(value)
    s3 = {"endpointUrl": buckets.url.replace("127.0.0.1", "127.0.0.66"), "credentialsFolder": str(credentials)}
    return stage.operated(fetcher=True, s3=s3)


def keyed(control_plane: ControlPlane, buckets: Buckets, namespace: str, **changed: str) -> None:
    """Makes a namespace the reader of the buckets."""
    applied = control_plane.apply([buckets.secret(namespace, **changed)])
    assert applied.returncode == 0, applied.stderr


@pytest.fixture
def functions(running: Installation, control_plane: ControlPlane, client: KubeClient, namespace: str) -> Functions:
    """Functions of the test's namespace, while everything runs."""
    return Functions(control_plane, client, namespace)


def source(key: str, bucket: str = "code", **more: str) -> Object:
    """`spec.code` for an object."""
    return {"s3Bucket": bucket, "s3Key": key, **more}


async def failed(functions: Functions, name: str) -> Object:
    """The status of a function whose code does not come."""
    return await functions.until(name, lambda status: status["state"] == "Failed", PATIENCE_S)


async def test_what_was_fetched_once_stays_until_the_function_names_something_else(
    functions: Functions, buckets: Buckets
) -> None:
    """As on Lambda: a copy is made. A key with every sort of sign in it is signed as S3 wants it."""
    keyed(functions.control_plane, buckets, functions.namespace)
    first, second = zipped("first = 1"), zipped("second = 2")
    key = "builds/Größe & #1+~(2).zip"
    buckets.put("code", key, first)
    functions.apply("copied", code=source(key))
    deployed = (await functions.ready("copied", PATIENCE_S))["deployed"]
    digest = hashlib.sha256(first).hexdigest()
    assert deployed["code"] == {"sha256": digest, "size": len(first), "source": f"s3://code/{key}"}
    buckets.put("code", key, second)
    functions.apply("copied", code=source(key), timeout=9)
    again = (await functions.ready("copied", PATIENCE_S))["deployed"]
    assert (again["timeout"], again["code"]["sha256"]) == (9, digest)
    functions.apply("copied", code=source(key, sha256=hashlib.sha256(second).hexdigest()), timeout=9)
    status = await functions.ready("copied", PATIENCE_S)
    assert status["deployed"]["code"]["sha256"] == hashlib.sha256(second).hexdigest()


async def test_versions_of_an_object_are_different_code(functions: Functions, buckets: Buckets) -> None:
    """Each names its own archive, whichever is the newest."""
    keyed(functions.control_plane, buckets, functions.namespace)
    old = buckets.put("versioned", "a.zip", zipped("old = 1"))
    buckets.put("versioned", "a.zip", zipped("new = 1"))
    assert old is not None
    functions.apply("pinned", code=source("a.zip", "versioned", s3ObjectVersion=old))
    status = await functions.ready("pinned", PATIENCE_S)
    assert status["deployed"]["code"]["sha256"] == hashlib.sha256(zipped("old = 1")).hexdigest()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            source("absent.zip"),
            (
                "Error occurred while GetObject. S3 Error Code: NoSuchKey. "
                "S3 Error Message: The specified key does not exist."
            ),
        ),
        (
            source("a.zip", "absent"),
            (
                "Error occurred while GetObject. S3 Error Code: NoSuchBucket. "
                "S3 Error Message: The specified bucket does not exist"
            ),
        ),
        (
            source("a.zip", "hidden"),
            (
                "Your access has been denied by S3, please make sure your request credentials have permission to "
                "GetObject for hidden/a.zip. S3 Error Code: AccessDenied. S3 Error Message: Access Denied"
            ),
        ),
    ],
    ids=["no-key", "no-bucket", "denied"],
)
async def test_what_s3_refuses_is_told_in_lambdas_words(
    functions: Functions, buckets: Buckets, code: Object, text: str
) -> None:
    """In the status that `kubectl get fn` shows; nothing is deployed."""
    keyed(functions.control_plane, buckets, functions.namespace)
    functions.apply("refused", code=code)
    status = await failed(functions, "refused")
    assert text in status["stateReason"]
    assert condition(status, "Ready")["reason"] == "CodeUnavailable"
    assert "deployed" not in status


async def test_a_wrong_key_is_told_and_a_right_one_is_taken_up(functions: Functions, buckets: Buckets) -> None:
    """Secrets are not watched: the next attempt reads the new one. The key itself is in no message."""
    keyed(functions.control_plane, buckets, functions.namespace, AWS_SECRET_ACCESS_KEY="not the key")
    buckets.put("code", "late.zip", zipped("late = 1"))
    functions.apply("late", code=source("late.zip"))
    status = await failed(functions, "late")
    assert "S3 Error Code: SignatureDoesNotMatch" in status["stateReason"]
    assert "not the key" not in str(status)
    keyed(functions.control_plane, buckets, functions.namespace)
    assert (await functions.ready("late", 120))["state"] == "Active"


async def test_no_archive_is_no_code(functions: Functions, buckets: Buckets) -> None:
    """Whatever the object is, it is checked before anything is deployed."""
    keyed(functions.control_plane, buckets, functions.namespace)
    buckets.put("code", "text.zip", b"this is no archive")
    functions.apply("broken", code=source("text.zip"))
    status = await failed(functions, "broken")
    assert (status["stateReasonCode"], condition(status, "Ready")["reason"]) == (
        "InvalidZipFileException",
        "InvalidCode",
    )


async def test_a_namespace_without_keys_is_the_installation(functions: Functions, buckets: Buckets) -> None:
    """Where the installation says that buckets are, they may be in a network that is refused to everybody else."""
    buckets.put("code", "shared.zip", zipped("shared = 1"))
    functions.apply("shared", code=source("shared.zip"))
    assert (await functions.ready("shared", PATIENCE_S))["state"] == "Active"


async def test_a_namespace_leads_nobody_into_refused_networks(functions: Functions, buckets: Buckets) -> None:
    """Nor do the keys of the installation go to a server that a namespace names."""
    refused = buckets.url.replace("127.0.0.1", "127.0.0.66/somewhere/else?")
    keyed(functions.control_plane, buckets, functions.namespace, AWS_ENDPOINT_URL_S3=refused)
    functions.apply("led", code=source("shared.zip"))
    assert "code is never fetched from 127.0.0.66" in (await failed(functions, "led"))["stateReason"]
    keyed(functions.control_plane, buckets, functions.namespace, AWS_ACCESS_KEY_ID="")
    functions.apply("keyless", code=source("shared.zip"))
    status = await failed(functions, "keyless")
    assert (
        f"Secret kubelambda-s3 of namespace {functions.namespace} has no key AWS_ACCESS_KEY_ID"
        in (status["stateReason"])
    )


async def test_a_layer_out_of_a_bucket_is_published_once(
    running: Installation, control_plane: ControlPlane, client: KubeClient, namespace: str, buckets: Buckets
) -> None:
    """An object that is replaced publishes nothing by itself, not even when the operator begins anew."""
    keyed(control_plane, buckets, namespace)
    layers = Layers(control_plane, client, namespace)
    buckets.put("code", "layer.zip", zipped("layer = 1"))
    layers.apply("bucket", content=source("layer.zip"))
    await layers.until("bucket", lambda status: status.get("latestVersion") == 1, PATIENCE_S)
    content = (await layers.version("bucket", 1))["spec"]["content"]
    assert content["source"] == "s3://code/layer.zip"
    buckets.put("code", "layer.zip", zipped("layer = 2"))
    running.components[-1].stop()
    running.operator("operator-again")
    layers.apply("bucket", content=source("layer.zip"), description="described")
    await layers.until("bucket", lambda status: status.get("latestVersion") == 2, PATIENCE_S)
    assert (await layers.version("bucket", 2))["spec"]["content"] == content


@pytest.mark.parametrize(("name", "allowed"), [("kubelambda-s3", True), ("kubelambda-access-keys", False)])
def test_the_fetcher_reads_secrets_of_one_name(
    control_plane: ControlPlane, namespace: str, name: str, allowed: bool
) -> None:
    """Where no Function is yet. The operator reads none at all."""

    def may(component: str, *asked: str) -> bool:
        answer: Any = control_plane.kubectl(
            "auth", "can-i", *asked, f"--namespace={namespace}", f"--as={service_account(component)}"
        )
        return str(answer.stdout).strip() == "yes"

    assert may(CODE_FETCHER_TOKEN, "get", f"secrets/{name}") is allowed
    assert not may(CODE_FETCHER_TOKEN, "list", "secrets")
    assert not may("operator", "get", f"secrets/{name}")
