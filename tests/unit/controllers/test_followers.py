"""What makes a key due when the reason goes away for which its object is not ready: each of them, without a resync."""

from typing import Any, cast

import pytest
from tests.unit.controllers.clusters import NOBODY, body_of, context_of

from kubelambda.api import labels
from kubelambda.api.kinds.function_image import IMAGE_RUNTIME
from kubelambda.controllers.account.namespace_facts import WATCHED_NAMESPACES
from kubelambda.controllers.code.code_collection import wanted_archives
from kubelambda.controllers.code.code_state import CodeState
from kubelambda.controllers.code.signing_facts import WATCHED_SIGNING_CONFIGS
from kubelambda.controllers.event.event_target_facts import WATCHED_EVENT_TARGETS
from kubelambda.controllers.function import alias, function_version
from kubelambda.controllers.function.alias_facts import WATCHED_ALIASES
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS
from kubelambda.controllers.function.version_facts import WATCHED_VERSIONS
from kubelambda.controllers.function.version_memory import VersionMemory
from kubelambda.controllers.layer.layer_facts import WATCHED_LAYER_VERSIONS
from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.controllers.machinery.work_queue import BackOff, Key
from kubelambda.controllers.mapping.mapping_facts import WATCHED_MAPPINGS
from kubelambda.controllers.network import invoke_endpoint
from kubelambda.controllers.network.invoke_endpoint_facts import WATCHED_ENDPOINTS
from kubelambda.controllers.pool.pool_facts import WATCHED_POOLS
from kubelambda.controllers.pool.runtime_facts import WATCHED_RUNTIMES
from kubelambda.core.code.layer_reference import layer_version_name
from kubelambda.kube.resources import Resource


class Objects:
    """In the place of a client: objects by their names. What is written is answered, and the object stays as it is."""

    def __init__(self, *found: dict[str, Any]) -> None:
        self.statuses: list[dict[str, Any]] = []
        self._found = {each["metadata"]["name"]: each for each in found}

    async def find(self, _: Resource, name: str, *__: object) -> dict[str, Any] | None:
        """One of them."""
        return self._found.get(name)

    async def apply(self, _: Resource, manifest: dict[str, Any], **__: object) -> dict[str, Any]:
        """It as it is after that."""
        self.statuses.append(manifest["status"])
        return self._found[manifest["metadata"]["name"]] | {"status": manifest["status"]}

    async def create(self, *_: object) -> None:
        """An Event."""


class LosesAll:
    """In the place of a code store."""

    async def size(self, _: str) -> None:
        """There is no archive."""


def queued(context: Context) -> set[Key]:
    """Keys that wait; forgets them."""
    found = {key for queue in context.queues.by_name.values() for key in queue._due}
    for queue in context.queues.by_name.values():
        queue._due.clear()
    return found


async def test_the_runtime_of_images_is_waited_for_by_functions_that_name_none() -> None:
    """One that was not deployed yet is in no pool either."""
    context = context_of(Objects())
    image = {"packageType": "Image", "code": {"imageUri": "registry/f:1"}}
    await changes.observe(context, WATCHED_FUNCTIONS, body_of("image", image))
    await changes.observe(context, WATCHED_FUNCTIONS, body_of("zip", {"runtime": "python3.13"}))
    queued(context)
    runtime = {"metadata": {"name": IMAGE_RUNTIME, "uid": "r", "resourceVersion": "1"}, "spec": {"image": "i"}}
    await changes.observe(context, WATCHED_RUNTIMES, runtime)
    assert {key for key in queued(context) if key.kind == "Function"} == {Key("Function", "a", "image")}


async def test_a_layer_version_goes_once_no_function_names_it() -> None:
    """Also one that was never deployed with it: it was held for that all the same."""
    context = context_of(Objects())
    name = layer_version_name("l", 1)
    content = {"sha256": "d", "size": 1, "unzippedSize": 1, "signature": "s"}
    spec = {"layerName": "l", "version": 1, "content": content}
    terminating = {"deletionTimestamp": "2026-01-01T00:00:01Z"}
    await changes.observe(context, WATCHED_LAYER_VERSIONS, body_of(name, spec, metadata=terminating))
    await changes.observe(context, WATCHED_FUNCTIONS, body_of("f", {"runtime": "python3.13", "layers": ["l:1"]}))
    facts = context.cluster[WATCHED_FUNCTIONS].get("a", "f")
    assert facts is not None
    assert facts.layer_versions == (name,)
    queued(context)
    changes.forget(context, WATCHED_FUNCTIONS, "a", "f")
    assert Key("LayerVersion", "a", name) in queued(context)


SIGNING = {"allowedPublishers": {"signingProfileVersionArns": ["arn:p"]}}
MAPPING = {"functionName": "f", "eventSourceArn": "arn:aws:sqs:us-east-1:000000000000:q"}


@pytest.mark.parametrize(
    ("watch", "spec"),
    [(WATCHED_VERSIONS, {"functionName": "f"}), (WATCHED_MAPPINGS, MAPPING), (WATCHED_SIGNING_CONFIGS, SIGNING)],
    ids=lambda each: each.resource.kind if isinstance(each, Watch) else "",
)
async def test_what_speaks_of_its_account_hears_when_that_is_another(
    watch: Watch[object], spec: dict[str, Any]
) -> None:
    """By an ARN, or by the quota that its provisioned environments are granted by."""
    context = context_of(Objects())
    await changes.observe(context, watch, body_of("one", spec))
    namespace: dict[str, Any] = {"metadata": {"name": "a", "uid": "n", "resourceVersion": "1"}}
    await changes.observe(context, WATCHED_NAMESPACES, namespace)
    queued(context)
    namespace["metadata"] |= {"resourceVersion": "2", "annotations": {labels.ACCOUNT_ID: "123456789012"}}
    await changes.observe(context, WATCHED_NAMESPACES, namespace)
    assert Key(watch.resource.kind, "a", "one") in queued(context)


async def test_a_pool_that_only_versions_use_follows_the_annotations_of_its_namespace() -> None:
    """Its size may be one of them."""
    context = context_of(Objects())
    deployed = {
        "runtime": "python3.13",
        "code": {"sha256": "d", "size": 1},
        "ephemeralStorage": 4096,
        "architectures": ["arm64"],
    }
    version = body_of("f-1", {"functionName": "f"}, status={"version": "1", "deployed": deployed})
    await changes.observe(context, WATCHED_VERSIONS, version)
    facts = context.cluster[WATCHED_VERSIONS].get("a", "f-1")
    assert facts is not None
    assert facts.pool is not None
    assert not facts.pool.shape.generic
    queued(context)
    await changes.observe(context, WATCHED_NAMESPACES, {"metadata": {"name": "a", "uid": "n", "resourceVersion": "1"}})
    assert Key("Pool", "a", facts.pool.id) in queued(context)


LIVE = {"functionName": "f", "name": "live"}
TOLD = {"destinationConfig": {"onFailure": {"destination": "sink"}}}


async def test_what_names_an_event_target_hears_that_it_comes_goes_or_is_a_place_now() -> None:
    """Whichever kind of object it is, in the namespace of the target."""
    context = context_of(Objects())
    named: list[tuple[Watch[Any], str, dict[str, Any]]] = [
        (WATCHED_FUNCTIONS, "f", {"runtime": "python3.13", "eventInvokeConfig": TOLD}),
        (WATCHED_VERSIONS, "f-1", {"functionName": "f", "eventInvokeConfig": TOLD}),
        (WATCHED_ALIASES, "f-live", {**LIVE, "functionVersion": "1", "eventInvokeConfig": TOLD}),
        (WATCHED_MAPPINGS, "m", {**MAPPING, **TOLD}),
    ]
    for watch, name, spec in named:
        await changes.observe(context, watch, body_of(name, spec))
    await changes.observe(context, WATCHED_MAPPINGS, body_of("other", MAPPING))
    users = {Key(watch.resource.kind, "a", name) for watch, name, _ in named}

    async def heard(version: int, spec: dict[str, Any] | None) -> set[Key]:
        queued(context)
        if spec is None:
            changes.forget(context, WATCHED_EVENT_TARGETS, "a", "sink")
        else:
            await changes.observe(context, WATCHED_EVENT_TARGETS, body_of("sink", spec, version))
        return queued(context)

    assert await heard(1, {"aws": {"services": ["sqs"]}}) == users
    assert await heard(2, {"aws": {"services": ["sqs", "sns"]}}) == set()
    assert await heard(3, {"http": {"url": "http://sink"}}) == users
    assert await heard(4, None) == users


def pool_of(runtime: str, ready: int, version: int, message: str = "") -> dict[str, Any]:
    """The Deployment of a pool; with a `message` it has waited for too long."""
    progressing = {"type": "Progressing", "status": "False" if message else "True", "message": message}
    status = {"readyReplicas": ready, "conditions": [progressing]}
    metadata = {"labels": {labels.POOL: runtime, labels.RUNTIME: runtime}}
    return body_of(f"kubelambda-pool-{runtime}", {}, version, metadata=metadata, status=status)


async def test_functions_hear_that_their_pool_does_not_fill_and_that_it_does_again() -> None:
    """Those of the pool, and not of each environment that is taken from it."""
    context = context_of(Objects())
    for name, runtime in (("f", "python3.13"), ("other", "nodejs20.x")):
        await changes.observe(context, WATCHED_FUNCTIONS, body_of(name, {"runtime": runtime}))

    async def heard(ready: int, version: int, message: str = "") -> set[Key]:
        queued(context)
        await changes.observe(context, WATCHED_POOLS, pool_of("python3.13", ready, version, message))
        return {key for key in queued(context) if key.kind == "Function"}

    users = {Key("Function", "a", "f")}
    assert await heard(2, 1) == set()
    assert await heard(1, 2) == set()
    assert await heard(2, 3, "timed out") == users
    assert await heard(1, 4, "timed out") == set()
    assert await heard(0, 5, "timed out") == users
    assert await heard(1, 6) == users


async def test_the_port_of_an_endpoint_that_went_is_offered_to_one_that_has_none() -> None:
    """There may have been none left."""
    context = context_of(Objects())
    for name, status in (("served", {"frontendPort": 20_000}), ("waits", {})):
        await changes.observe(context, WATCHED_ENDPOINTS, body_of(name, {}, status=status))
    changes.forget(context, WATCHED_ENDPOINTS, "a", "went")
    queued(context)
    await invoke_endpoint.reconcile(invoke_endpoint.GivenPorts(), context, Key("InvokeEndpoint", "a", "went"))
    assert queued(context) == {Key("InvokeEndpoint", "a", "waits")}


async def test_an_archive_that_a_version_has_lost_is_looked_for_again() -> None:
    """Who brings it back tells nobody."""
    deployed = {
        "functionName": "f",
        "runtime": "python3.13",
        "handler": "index.handler",
        "memorySize": 128,
        "timeout": 3,
        "revision": "0" * 16,
        "logGroup": "/aws/lambda/f",
        "code": {"sha256": "d" * 64, "size": 1},
    }
    held = {"finalizers": [labels.VERSION_FINALIZER]}
    published = {"version": "1", "deployed": deployed}
    version = body_of("f-1", {"functionName": "f"}, metadata=held, status=published)
    context = context_of(Objects(version))
    memory = VersionMemory(CodeState(cast("Any", LosesAll()), NOBODY))
    outcome = await function_version.reconcile(memory, context, Key("FunctionVersion", "a", "f-1"))
    assert outcome == BackOff(function_version.LOOK_AGAIN_MAX_S)


IMAGE = {"runtime": IMAGE_RUNTIME, "code": {"sha256": "d", "size": 0}, "image": {"uri": "u", "reference": "r"}}


async def test_an_alias_of_what_an_image_is_deployed_from_leads_there() -> None:
    """It has no archive, and is deployed all the same."""
    owned = {"ownerReferences": [{"uid": "uid-of-f"}], "labels": {labels.FUNCTION: "f"}}
    spec = {"functionName": "f", "name": "live", "functionVersion": "$LATEST"}
    context = context_of(Objects(body_of("f-live", spec, metadata=owned)))
    image = {"packageType": "Image", "code": {"imageUri": "u"}}
    await changes.observe(context, WATCHED_FUNCTIONS, body_of("f", image, status={"deployed": IMAGE}))
    await alias.reconcile(VersionMemory(CodeState(NOBODY, NOBODY)), context, Key("Alias", "a", "f-live"))
    [status] = cast("Any", context.client).statuses
    assert status["routedVersion"] == "$LATEST"


async def test_nobody_is_asked_for_the_archive_of_an_image() -> None:
    """The store never has it: its version would be looked at every minute."""
    context = context_of(Objects())
    version = body_of("f-1", {"functionName": "f"}, status={"version": "1", "deployed": IMAGE})
    await changes.observe(context, WATCHED_VERSIONS, version)
    assert not wanted_archives(context)
