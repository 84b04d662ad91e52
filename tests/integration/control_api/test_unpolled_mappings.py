"""Mappings that no poller takes: what is on its way keeps other changes away, but never for ever (§7.1.2)."""

from tests.integration.control_api.control_api import Api
from tests.integration.functions import eventually, listed

from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import EVENT_SOURCE_MAPPINGS

PATH = "/2015-03-31/event-source-mappings"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:queue"


async def test_a_mapping_that_nobody_polls_can_be_deleted_after_a_minute(api: Api, client: KubeClient) -> None:
    """It stays Creating, and says in its object what it waits for."""
    api.active("hello")
    made = api.call("POST", PATH, {"EventSourceArn": QUEUE, "FunctionName": "hello"})
    assert (made.status, made.body["State"]) == (202, "Creating")
    path = f"{PATH}/{made.body['UUID']}"
    [body] = await listed(client, EVENT_SOURCE_MAPPINGS, api.namespace)
    name = body["metadata"]["name"]

    async def reason() -> str:
        status = (await client.get(EVENT_SOURCE_MAPPINGS, name, api.namespace)).get("status") or {}
        return next((each["reason"] for each in status.get("conditions", []) if each["type"] == "Ready"), "")

    async def waits() -> bool:
        return await reason() == "WaitingForPoller"

    await eventually(waits)
    for method, change in (("PUT", {"BatchSize": 5}), ("DELETE", None)):
        refused = api.call(method, path, change)
        assert (refused.status, refused.error) == (400, "ResourceInUseException"), refused
        assert refused.text.endswith("the event source mapping because it is in use.")
    long_ago = {"status": {"lastModified": "2026-01-02T03:04:05Z"}}
    await client.patch(EVENT_SOURCE_MAPPINGS, name, long_ago, api.namespace, subresource="status")
    deleted = await eventually(lambda: (answer := api.call("DELETE", path)).status == 202 and answer)
    assert deleted.body["State"] == "Deleting"
    assert api.call("GET", path).status == 404
