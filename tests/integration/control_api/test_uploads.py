"""Code by the control API at its limits: fifty megabytes, broken archives, and who may name what (Appendix A)."""

import base64
import hashlib
import io
import os
import zipfile

import pytest
from tests.integration.control_api.control_api import DOMAIN, HELLO, Api, zipped
from tests.integration.functions import Functions, condition, eventually
from tests.integration.processes import Installation
from tests.integration.stage import Stage

MEMORY_MAX_MB = 128
LIMIT = 52_428_800


@pytest.fixture(scope="module")
def serving(stage: Stage) -> tuple[Installation, str]:
    """An installation that has not served anybody yet: what it needs at most is looked at."""
    stage.clear()
    return stage.serving(endpointDomain=DOMAIN, codeRetentionSeconds=15)


def archive_of(size: int) -> bytes:
    """An archive of exactly `size` bytes that nothing compresses."""
    empty = io.BytesIO()
    with zipfile.ZipFile(empty, "w") as folder:
        folder.writestr(zipfile.ZipInfo("data"), b"")
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w") as folder:
        folder.writestr(zipfile.ZipInfo("data"), os.urandom(size - len(empty.getvalue())))
    assert len(found.getvalue()) == size
    return found.getvalue()


def test_almost_fifty_megabytes_pass_in_bounded_memory(api: Api, serving: tuple[Installation, str]) -> None:
    """One byte less than the limit is deployed, and the component never held it as a whole."""
    code = archive_of(LIMIT - 1)
    assert api.create("large", code).status == 201
    found = api.settled("large")
    assert found["CodeSize"] == LIMIT - 1
    assert found["CodeSha256"] == base64.b64encode(hashlib.sha256(code).digest()).decode()
    component = next(each for each in serving[0].components if each.name.startswith("awsapi"))
    assert component.peak_mb < MEMORY_MAX_MB


def test_fifty_megabytes_are_too_much(api: Api) -> None:
    """The zip's limit, and the request's (§1.3)."""
    refused = api.create("large", archive_of(LIMIT))
    assert (refused.status, refused.error) == (413, "RequestEntityTooLargeException")
    assert refused.text == "Zipped size must be smaller than 52428800 bytes"
    refused = api.call("POST", "/2015-03-31/functions", b'{"Code": {"ZipFile": "' + b"A" * 70_167_211 + b'"}}')
    assert (refused.status, refused.error) == (413, "RequestEntityTooLargeException")
    text = "Request must be smaller than 70167211 bytes for the CreateFunction operation"
    assert refused.text == text
    assert api.function("GET", "large").status == 404


@pytest.mark.parametrize("code", [b"no zip", b"PK\x05\x06" + bytes(17), HELLO[:-10]])
def test_what_is_no_archive_is_refused_at_once(api: Api, code: bytes) -> None:
    """With Lambda's words, and nothing is made."""
    refused = api.create("broken", code)
    assert (refused.status, refused.error) == (400, "InvalidParameterValueException")
    text = "Could not unzip uploaded file. Please check your file, then try to upload again."
    assert refused.text.startswith(text)
    assert api.function("GET", "broken").status == 404


def test_a_digest_alone_is_no_code(api: Api, functions: Functions) -> None:
    """Who writes down another account's digest, with whatever signature, gets a condition and not the code."""
    api.active("mine", code=zipped("secret = 1"))
    stored = {"sha256": hashlib.sha256(zipped("secret = 1")).hexdigest(), "size": 1, "signature": "0" * 64}
    functions.apply("thief", code={"stored": stored})
    found = api.until("thief", lambda body: body["State"] == "Failed")
    assert "was not uploaded for namespace" in found["StateReason"]


async def test_the_manifest_of_uploaded_code_can_be_applied_again(api: Api, functions: Functions) -> None:
    """GitOps takes over: delete, apply what `kubectl get -o yaml` had shown, and it runs."""
    api.active("kept", code=zipped("kept = 1"))
    spec = (await functions.get("kept"))["spec"]
    assert api.function("DELETE", "kept").status == 204
    functions.apply("kept", **spec)
    assert condition(await functions.ready("kept"), "Ready")["status"] == "True"


async def test_code_that_was_lost_is_uploaded_again(
    serving: tuple[Installation, str], api: Api, functions: Functions
) -> None:
    """The Function names it already, and does not change by that: it is looked for all the same."""
    code = zipped("lost = 1")
    api.active("lost", code=code)
    spec = (await functions.get("lost"))["spec"]
    assert api.function("DELETE", "lost").status == 204
    blob = serving[0].blobs / hashlib.sha256(code).hexdigest()
    blob.unlink(missing_ok=True)
    functions.apply("lost", **spec)
    found = api.until("lost", lambda body: body["State"] == "Failed")
    assert "upload the code again" in found["StateReason"]
    again = api.function("PUT", "lost", "/code", {"ZipFile": base64.b64encode(code).decode()})
    assert again.status == 200, again
    api.until("lost", lambda body: body["State"] == "Active")
    assert blob.exists()


async def test_code_that_no_function_came_to_name_is_collected(serving: tuple[Installation, str], api: Api) -> None:
    """An upload whose object was never written leaves nothing behind, and one that is named stays."""
    api.active("named", code=zipped("named = 1"))
    orphan = hashlib.sha256(b"orphan").hexdigest()
    blobs = serving[0].blobs
    (blobs / orphan).write_bytes(b"orphan")
    await eventually(lambda: not (blobs / orphan).exists())
    assert (blobs / hashlib.sha256(zipped("named = 1")).hexdigest()).exists()
