"""Function URLs by the control API, and what the objects say of them (§2.5)."""

import re

from tests.integration.control_api.control_api import Api
from tests.integration.functions import eventually

from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import ALIASES, FUNCTIONS

DATE = "2021-10-31"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


async def test_a_url_from_its_creation_to_its_end(api: Api, client: KubeClient) -> None:
    """A function and its alias have one each; the operator writes the same address into the status of each."""
    api.active("hello")
    assert api.function("POST", "hello", "/versions", {}).status == 201
    assert api.function("POST", "hello", "/aliases", {"Name": "live", "FunctionVersion": "1"}).status == 201
    cors = {"AllowOrigins": ["https://a.example"], "AllowCredentials": True, "MaxAge": 0}
    created = api.function("POST", "hello", "/url", {"AuthType": "NONE", "Cors": cors}, date=DATE)
    assert created.status == 201, created
    address, time = created.body.pop("FunctionUrl"), created.body.pop("CreationTime")
    assert re.fullmatch(r"http://[a-z0-9]{32}\.lambda-url\.us-east-1\.lambda\.internal/", address)
    assert TIME.fullmatch(time)
    assert created.body == {
        "FunctionArn": api.arn("hello"),
        "AuthType": "NONE",
        "Cors": cors,
        "InvokeMode": "BUFFERED",
    }
    updated = api.function("PUT", "hello", "/url", {"AuthType": "AWS_IAM"}, date=DATE).body
    assert (updated["AuthType"], updated["Cors"], updated["CreationTime"]) == ("AWS_IAM", cors, time)
    assert TIME.fullmatch(updated["LastModifiedTime"])
    assert "Cors" not in api.function("PUT", "hello", "/url", {"Cors": {}}, date=DATE).body
    live = api.function("POST", "hello", "/url?Qualifier=live", {"AuthType": "NONE"}, date=DATE)
    assert (live.status, live.body["FunctionArn"]) == (201, f"{api.arn('hello')}:live")
    assert live.body["FunctionUrl"] != address
    listed = api.function("GET", "hello", "/urls", date=DATE).body["FunctionUrlConfigs"]
    assert [each["FunctionArn"] for each in listed] == [api.arn("hello"), f"{api.arn('hello')}:live"]
    page = api.function("GET", "hello", "/urls?MaxItems=1", date=DATE).body
    assert (len(page["FunctionUrlConfigs"]), page["NextMarker"]) == (1, "1")

    async def told() -> bool:
        function = await client.get(FUNCTIONS, "hello", api.namespace)
        aliases = (await client.list(ALIASES, api.namespace))["items"]
        found = [each["status"].get("functionUrl") for each in (function, *aliases)]
        return found == [address, live.body["FunctionUrl"]]

    await eventually(told)
    assert api.function("DELETE", "hello", "/url?Qualifier=live", date=DATE).status == 204
    assert api.function("DELETE", "hello", "/url", date=DATE).status == 204
    assert api.function("GET", "hello", "/url", date=DATE).status == 404

    async def gone() -> bool:
        body = await client.get(FUNCTIONS, "hello", api.namespace)
        return "functionUrl" not in body["status"] and not body["metadata"].get("annotations")

    await eventually(gone)


async def test_a_url_streams_or_does_not(api: Api, client: KubeClient) -> None:
    """As its creation says, until an update says otherwise; the object has it."""
    api.active("streams")
    created = api.function("POST", "streams", "/url", {"AuthType": "NONE", "InvokeMode": "RESPONSE_STREAM"}, date=DATE)
    assert (created.status, created.body["InvokeMode"]) == (201, "RESPONSE_STREAM")
    assert api.function("GET", "streams", "/url", date=DATE).body["InvokeMode"] == "RESPONSE_STREAM"
    found = await client.get(FUNCTIONS, "streams", api.namespace)
    assert found["spec"]["url"] == {"authType": "NONE", "invokeMode": "RESPONSE_STREAM"}
    updated = api.function("PUT", "streams", "/url", {"InvokeMode": "BUFFERED"}, date=DATE)
    assert (updated.status, updated.body["InvokeMode"]) == (200, "BUFFERED")
