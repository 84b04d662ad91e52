"""Faults around the control API: an API server or a code store that is away, and lists while much is created."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import pytest
from tests.integration.control_api.control_api import DOMAIN, Api
from tests.integration.control_plane import SYSTEM_NAMESPACE, ControlPlane
from tests.integration.functions import eventually
from tests.integration.processes import Installation

from kubelambda.core.account.identity import account_id
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import FUNCTIONS, NAMESPACES

KIND = {"apiVersion": "kubelambda.dev/v1alpha1", "kind": "Function"}


@pytest.fixture
async def lonely(
    tmp_path_factory: pytest.TempPathFactory, control_plane: ControlPlane, client: KubeClient
) -> AsyncIterator[Api]:
    """A control API of its own, with no code store and no code fetcher."""
    folder = tmp_path_factory.mktemp("lonely")
    found = Installation(folder, control_plane, SYSTEM_NAMESPACE, endpointDomain=DOMAIN)
    _, address = found.control_api()
    uid = (await client.get(NAMESPACES, "default"))["metadata"]["uid"]
    yield Api(address, "default", account_id(uid))
    found.stop()


def test_without_a_code_store_nothing_is_made(lonely: Api) -> None:
    """503 that says why; the function does not exist after it."""
    refused = lonely.create("no-store")
    assert (refused.status, refused.error) == (503, "ServiceUnavailableException")
    assert "code store does not answer" in refused.text
    assert lonely.function("GET", "no-store").status == 404


def test_without_a_code_fetcher_no_layer_is_published(lonely: Api) -> None:
    """503 that says why; nothing is made."""
    path = "/2018-10-31/layers"
    refused = lonely.call("POST", f"{path}/broken/versions", {"Content": {"S3Bucket": "bucket", "S3Key": "key"}})
    assert refused.status == 503
    assert "the code fetcher does not answer" in refused.text
    assert lonely.call("GET", path).body == {"Layers": []}


def test_an_api_server_that_is_away_is_a_503(api: Api, control_plane: ControlPlane) -> None:
    """And what was asked for is there or not there when it is back, never half."""
    api.active("before")
    control_plane.crash_api_server()
    try:
        refused = api.create("meanwhile")
        assert (refused.status, refused.error) == (503, "ServiceUnavailableException")
        assert api.function("GET", "before").status == 503
    finally:
        control_plane.start_api_server()
    deadline = time.monotonic() + 90
    while api.function("GET", "before").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    while (missing := api.function("GET", "meanwhile")).status != 404:
        assert (missing.status, time.monotonic() < deadline) == (503, True), missing
        time.sleep(0.2)
    while (again := api.create("meanwhile")).status != 201:
        assert (again.status, time.monotonic() < deadline) == (503, True), again
        time.sleep(0.2)


async def test_a_list_while_functions_are_created(api: Api, client: KubeClient) -> None:
    """Every function that was there before is listed exactly once, whatever comes meanwhile."""
    names = [f"f-{number:03}" for number in range(500)]
    spec = {"runtime": "python3.13", "handler": "index.handler", "code": {"inline": "x = 1"}}
    for start in range(0, len(names), 50):
        bodies = [{"metadata": {"name": name}, "spec": spec} | KIND for name in names[start : start + 50]]
        await asyncio.gather(*[client.create(FUNCTIONS, body, api.namespace) for body in bodies])

    def all_seen() -> bool:  # what others than the control API create, it hears of by a watch
        usage = api.call("GET", "/2016-08-19/account-settings").body["AccountUsage"]
        return bool(usage["FunctionCount"] == len(names))

    await eventually(all_seen)
    done = threading.Event()
    created: list[int] = []

    def create() -> None:
        while not done.is_set():
            created.append(api.create(f"g-{len(created):03}").status)

    creating = threading.Thread(target=create)
    creating.start()
    try:
        found, marker = [], ""
        while True:
            page = api.call("GET", f"/2015-03-31/functions?MaxItems=30{marker}").body
            found += [each["FunctionName"] for each in page["Functions"]]
            if "NextMarker" not in page:
                break
            marker = f"&Marker={page['NextMarker']}"
    finally:
        done.set()
        creating.join()
    assert [name for name in found if name.startswith("f-")] == names
    assert len(set(found)) == len(found)
    assert set(created) <= {201}
