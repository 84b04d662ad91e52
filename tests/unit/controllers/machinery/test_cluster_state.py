"""What the operator remembers of the cluster, and what a change of one object means for others."""

from typing import Any, cast

import pytest

from kubelambda.api.settings import Settings
from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.cluster_state import NamespaceFacts, function_facts
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.work_queue import Key, WorkQueue


def body(version: int = 1, **more: Any) -> dict[str, Any]:
    """A Function object."""
    spec = {"runtime": "python3.13", **more.pop("spec", {})}
    metadata = {
        "uid": "u",
        "resourceVersion": str(version),
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    return {"metadata": metadata | more.pop("metadata", {}), "spec": spec, **more}


@pytest.fixture
async def context() -> Context:
    """A context whose clients nobody calls."""
    nobody = cast("Any", None)
    queue, downloads = WorkQueue(observe=lambda *_: None), WorkQueue(observe=lambda *_: None)
    return Context(nobody, nobody, Settings(), b"", queue=queue, downloads=downloads)


def queued(context: Context) -> set[tuple[str, str, str]]:
    """Keys that wait; forgets them."""
    found = {(key.kind, key.namespace, key.name) for key in context.queue._due}
    context.queue._due.clear()
    return found


async def test_the_first_function_makes_pool_and_policy(context: Context) -> None:
    """A second one of the same runtime needs only to be counted."""
    assert changes.take_in_function(context, "a", "one", function_facts(body()))
    assert queued(context) == {("Pool", "a", "python3.13"), ("Runtime", "", "python3.13"), ("Namespace", "a", "a")}


async def test_an_unchanged_function_means_nothing(context: Context) -> None:
    """Such as the echo of our own status."""
    changes.take_in_function(context, "a", "one", function_facts(body(1)))
    queued(context)
    assert not changes.take_in_function(context, "a", "one", function_facts(body(2)))
    assert queued(context) == set()


async def test_an_older_event_does_not_overwrite(context: Context) -> None:
    """Events come later than the answers to our own writes."""
    changes.take_in_function(context, "a", "one", function_facts(body(5, spec={"runtime": "node"})))
    assert not changes.take_in_function(context, "a", "one", function_facts(body(4)))
    view = context.state.function("a", "one")
    assert view is not None
    assert view.runtime == "node"


async def test_a_function_made_anew_is_taken_in_whatever_its_version(context: Context) -> None:
    """Another uid is another object; what was granted to the old one is forgotten."""
    changes.take_in_function(context, "a", "one", function_facts(body(5)))
    context.state.grants["u"] = 10
    assert changes.take_in_function(context, "a", "one", function_facts(body(4, metadata={"uid": "v"})))
    assert context.state.grants == {}


async def test_a_change_of_runtime_concerns_both_pools(context: Context) -> None:
    """The old one may go, the new one may be needed."""
    changes.take_in_function(context, "a", "one", function_facts(body()))
    queued(context)
    changes.take_in_function(context, "a", "one", function_facts(body(2, spec={"runtime": "node"})))
    assert {("Pool", "a", "python3.13"), ("Pool", "a", "node")} <= queued(context)


async def test_a_function_that_is_gone_leaves_no_trace(context: Context) -> None:
    """Pool, policy and counts are looked at again."""
    changes.take_in_function(context, "a", "one", function_facts(body()))
    queued(context)
    assert changes.take_in_function(context, "a", "one", None)
    assert queued(context) == {("Pool", "a", "python3.13"), ("Runtime", "", "python3.13"), ("Namespace", "a", "a")}
    assert not context.state.functions
    assert not changes.take_in_function(context, "a", "one", None)


async def test_a_large_tmp_needs_no_pool(context: Context) -> None:
    """Pool pods have /tmp of one size."""
    view = function_facts(body(spec={"ephemeralStorage": {"size": 1024}}))
    changes.take_in_function(context, "a", "one", view)
    assert not context.state.needs_pool("a", "python3.13")


async def test_what_is_given_back_is_offered_to_those_who_were_refused(context: Context) -> None:
    """And to nobody else."""
    asking = {"reservedConcurrentExecutions": 500}
    granted = {"reservedConcurrentExecutions": 500}
    changes.take_in_function(context, "a", "has", function_facts(body(spec=asking, status=granted)))
    changes.take_in_function(context, "a", "wants", function_facts(body(spec=asking, metadata={"uid": "w"})))
    changes.take_in_function(context, "a", "content", function_facts(body(metadata={"uid": "c"})))
    queued(context)
    changes.take_in_function(context, "a", "has", None)
    functions = {key for key in queued(context) if key[0] == "Function"}
    assert functions == {("Function", "a", "wants")}


async def test_a_runtime_that_appears_is_told_to_those_who_wait_for_it(context: Context) -> None:
    """Functions and pools; its status alone concerns nobody."""
    changes.take_in_function(context, "a", "one", function_facts(body()))
    queued(context)
    runtime = {"metadata": {"uid": "r"}, "spec": {"image": "i"}, "status": {"idle": 1}}
    changes.take_in_runtime(context, "python3.13", runtime)
    assert {("Function", "a", "one"), ("Pool", "a", "python3.13")} <= queued(context)
    changes.take_in_runtime(context, "python3.13", runtime | {"status": {"idle": 2}})
    assert queued(context) == set()


async def test_annotations_of_a_namespace_concern_everything_in_it(context: Context) -> None:
    """Quota, account id and pool sizes are read from them."""
    changes.take_in_function(context, "a", "one", function_facts(body()))
    changes.take_in_namespace(context, "a", NamespaceFacts("n", {}, terminating=False))
    queued(context)
    changes.take_in_namespace(context, "a", NamespaceFacts("n", {}, terminating=False))
    assert queued(context) == set()
    changes.take_in_namespace(context, "a", NamespaceFacts("n", {"kubelambda.dev/x": "1"}, terminating=False))
    assert queued(context) == {("Namespace", "a", "a"), ("Function", "a", "one"), ("Pool", "a", "python3.13")}


async def test_digests_name_a_function_that_runs_them(context: Context) -> None:
    """Who can publish the archive again."""
    status = {"deployed": {"code": {"sha256": "abc"}}}
    changes.take_in_function(context, "a", "one", function_facts(body(status=status)))
    assert context.state.digests() == {"abc": ("a", "one")}
    assert Key("Function", *context.state.digests()["abc"]) == changes.function_key("a", "one")
