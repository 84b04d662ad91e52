"""Code that a caller names in a bucket: fetched while the caller waits, and refused in Lambda's words."""

import base64
import hashlib
from collections.abc import Iterator

import pytest
from tests.integration.buckets import Buckets, serving_buckets
from tests.integration.control_api.control_api import HELLO, ROLE, Answered, Api, zipped
from tests.integration.control_plane import ControlPlane
from tests.integration.functions import eventually

FUNCTIONS = "/2015-03-31/functions"
NO_KEY = "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist."
NO_BUCKET = (
    "Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: The specified bucket does not exist"
)
DENIED = (
    "Your access has been denied by S3, please make sure your request credentials have permission to GetObject for "
    "hidden/a.zip. S3 Error Code: AccessDenied. S3 Error Message: Access Denied"
)
BROKEN = "Could not unzip uploaded file. Please check your file, then try to upload again."


@pytest.fixture(scope="module")
def buckets() -> Iterator[Buckets]:
    """Buckets for every test of this file."""
    with serving_buckets() as found:
        found.put("code", "hello.zip", HELLO)
        found.put("code", "broken.zip", b"no archive")
        yield found


@pytest.fixture
def keyed(control_plane: ControlPlane, buckets: Buckets, api: Api) -> Api:
    """A caller whose namespace may read the buckets; there is no Function in it yet."""
    applied = control_plane.apply([buckets.secret(api.namespace)])
    assert applied.returncode == 0, applied.stderr
    return api


def created(api: Api, name: str, **code: str) -> Answered:
    """CreateFunction."""
    body = {"FunctionName": name, "Role": ROLE, "Runtime": "python3.13", "Handler": "index.handler", "Code": code}
    return api.call("POST", FUNCTIONS, body)


async def active(api: Api, name: str) -> None:
    """Returns once the last update of a function is through."""

    def done() -> bool:
        found = api.call("GET", f"{FUNCTIONS}/{name}/configuration").body
        return (found["State"], found.get("LastUpdateStatus")) == ("Active", "Successful")

    await eventually(done)


async def test_a_function_is_made_and_changed_by_what_is_in_a_bucket(keyed: Api, buckets: Buckets) -> None:
    """The same key again fetches what is there now; nothing else ever does."""
    first = created(keyed, "bucket", S3Bucket="code", S3Key="hello.zip")
    assert first.status == 201, first.body
    assert first.body["CodeSha256"] == base64.b64encode(hashlib.sha256(HELLO).digest()).decode()
    assert first.body["CodeSize"] == len(HELLO)
    await active(keyed, "bucket")
    data = zipped("def handler(event, context):\n    return 2\n")
    buckets.put("code", "moving.zip", data)
    for content in (data, zipped("changed = 1")):
        buckets.put("code", "moving.zip", content)
        updated = keyed.call("PUT", f"{FUNCTIONS}/bucket/code", {"S3Bucket": "code", "S3Key": "moving.zip"})
        assert updated.body["CodeSha256"] == base64.b64encode(hashlib.sha256(content).digest()).decode()
        await active(keyed, "bucket")


def test_a_layer_is_published_out_of_a_bucket(keyed: Api) -> None:
    """With the digest of what was there."""
    content = {"S3Bucket": "code", "S3Key": "hello.zip"}
    found = keyed.call("POST", "/2018-10-31/layers/bucket/versions", {"Content": content})
    assert (found.status, found.body["Version"]) == (201, 1)
    assert found.body["Content"]["CodeSha256"] == base64.b64encode(hashlib.sha256(HELLO).digest()).decode()


@pytest.mark.parametrize(
    ("code", "status", "error", "text"),
    [
        ({"S3Bucket": "code", "S3Key": "absent.zip"}, 400, "InvalidParameterValueException", NO_KEY),
        ({"S3Bucket": "absent", "S3Key": "a.zip"}, 400, "InvalidParameterValueException", NO_BUCKET),
        ({"S3Bucket": "hidden", "S3Key": "a.zip"}, 403, "AccessDeniedException", DENIED),
        ({"S3Bucket": "code", "S3Key": "broken.zip"}, 400, "InvalidParameterValueException", BROKEN),
        ({"S3Bucket": "code"}, 400, "InvalidParameterValueException", "Please provide both S3Bucket and S3Key."),
    ],
    ids=["no-key", "no-bucket", "denied", "broken", "half"],
)
async def test_what_cannot_be_had_is_refused_and_makes_nothing(
    keyed: Api, code: dict[str, str], status: int, error: str, text: str
) -> None:
    """Functions, their code and layers are refused alike."""
    assert created(keyed, "present", S3Bucket="code", S3Key="hello.zip").status == 201
    await active(keyed, "present")
    for found in (
        created(keyed, "refused", **code),
        keyed.call("PUT", f"{FUNCTIONS}/present/code", {**code, "DryRun": True}),
        keyed.call("POST", "/2018-10-31/layers/refused/versions", {"Content": code}),
    ):
        assert (found.status, found.error) == (status, error)
        assert found.text.startswith(text)
    assert keyed.call("GET", f"{FUNCTIONS}/refused").status == 404
    assert keyed.call("GET", "/2018-10-31/layers").body == {"Layers": []}


def test_without_keys_nobody_is_asked(api: Api) -> None:
    """The text says where keys are looked for."""
    found = created(api, "keyless", S3Bucket="code", S3Key="hello.zip")
    assert (found.status, found.error) == (403, "AccessDeniedException")
    assert f"there is no Secret kubelambda-s3 of namespace {api.namespace}" in found.text
