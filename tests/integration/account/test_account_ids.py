"""Account ids that are copied from one namespace to another: the real operator and API server."""

from tests.integration.functions import Functions, eventually
from tests.integration.processes import Installation

from kubelambda.api import labels
from kubelambda.core.account.identity import account_id
from kubelambda.kube.resources import FUNCTIONS, NAMESPACES


async def test_a_copied_account_id_stays_with_the_namespace_that_had_it(
    running: Installation, functions: Functions
) -> None:
    """The other one gets its own, and an Event says why; the ARN of its functions is its own too."""
    functions.apply("victim")
    arn = (await functions.ready("victim"))["functionArn"]
    account = arn.split(":")[4]
    await eventually(lambda: has(functions, functions.namespace, account))
    copy = await functions.client.create(
        NAMESPACES,
        {"metadata": {"name": f"{functions.namespace}-copy", "annotations": {labels.ACCOUNT_ID: account}}},
    )
    name, own = copy["metadata"]["name"], account_id(copy["metadata"]["uid"])
    thief = Functions(functions.control_plane, functions.client, name)
    thief.apply("thief")
    await eventually(lambda: has(functions, name, own))
    await thief.until("thief", lambda status: own in status.get("functionArn", ""))

    def told() -> bool:
        """After the id is written."""
        events = functions.control_plane.kubectl("get", "events", "--namespace", "default", "--output", "json").stdout
        return "AccountIdRefused" in events and f"this namespace is account {own}" in events

    await eventually(told)
    assert await has(functions, functions.namespace, account)
    assert (await functions.ready("victim"))["functionArn"] == arn
    await functions.client.delete(FUNCTIONS, "thief", name)  # nothing else clears that namespace up


async def has(functions: Functions, namespace: str, account: str) -> bool:
    """Whether a namespace has that account id written down, which comes a moment after its first function."""
    metadata = (await functions.client.get(NAMESPACES, namespace))["metadata"]
    return bool((metadata.get("annotations") or {}).get(labels.ACCOUNT_ID) == account)
