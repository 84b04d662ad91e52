"""What is said at a pod of why it is not initialized, and taken back once it is."""

from types import SimpleNamespace
from typing import Any, cast

from kubelambda.api import labels
from kubelambda.frontend.account.provisioned_pods import ProvisionedPods
from kubelambda.frontend.cold_start.start import InitFailure


class Pods:
    """A client that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[Any] = []

    async def patch(self, _: Any, __: str, body: Any, ___: str) -> None:
        """Writes annotations."""
        self.written.append(body["metadata"]["annotations"][labels.INIT_FAILURE_MESSAGE])


async def test_a_failure_is_taken_back_though_its_own_annotation_is_not_heard_of_yet() -> None:
    """The view of the pod is behind: an environment that serves would be told of as failed for as long as it lives."""
    client = Pods()
    view = SimpleNamespace(uid="u", init_failure="")
    caches = SimpleNamespace(pods=SimpleNamespace(items={("team", "pod"): view}))
    found = ProvisionedPods(*cast("Any", (client, caches, None, None)))
    target = cast("Any", SimpleNamespace(namespace="team"))
    failure = InitFailure({"errorType": "RuntimeError", "errorMessage": "no luck"})
    for each in (failure, failure, None, None):
        await found._say(target, "pod", each)
    assert client.written == ["RuntimeError: no luck", None]
