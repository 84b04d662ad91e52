"""What the operator remembers of the cluster, and what a change of one object means for others: every controller."""

from typing import Any

import pytest
from tests.unit.controllers.clusters import body_of, context_of

from kubelambda.controllers.account.namespace_facts import WATCHED_NAMESPACES
from kubelambda.controllers.code.code_collection import wanted_archives
from kubelambda.controllers.file_system.access_point_facts import WATCHED_ACCESS_POINTS
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS
from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.controllers.pool.runtime_facts import WATCHED_RUNTIMES


def body(name: str = "one", version: int = 1, **more: Any) -> dict[str, Any]:
    """A Function object of namespace `a`."""
    return body_of(name, {"runtime": "python3.13", **more.pop("spec", {})}, version, **more)


def account(**annotations: str) -> dict[str, Any]:
    """The Namespace object `a`."""
    metadata = {"name": "a", "uid": "n", "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": {**metadata, "annotations": {f"kubelambda.dev/{k}": v for k, v in annotations.items()}}}


@pytest.fixture
async def context() -> Context:
    """A context of all controllers, whose clients nobody calls."""
    return context_of()


def queued(context: Context) -> set[tuple[str, str, str]]:
    """Keys that wait; forgets them."""
    found = set()
    for queue in context.queues.by_name.values():
        found |= {(key.kind, key.namespace, key.name) for key in queue._due}
        queue._due.clear()
    return found


async def seen(context: Context, found: dict[str, Any], by: Key | None = None) -> set[tuple[str, str, str]]:
    """What a Function that is seen makes due."""
    await changes.observe(context, WATCHED_FUNCTIONS, found, by=by)
    return queued(context)


ONE, PUBLICATION = ("Function", "a", "one"), ("Publication", "a", "one")
POOL, RUNTIME, NAMESPACE = ("Pool", "a", "python3.13"), ("Runtime", "", "python3.13"), ("Namespace", "a", "a")


async def test_the_first_function_makes_pool_and_policy(context: Context) -> None:
    """And is counted; its reconciler's own look at it is no reason for another one."""
    assert await seen(context, body()) == {ONE, PUBLICATION, POOL, RUNTIME, NAMESPACE}
    assert await seen(context, body(version=2, metadata={"generation": 2}), by=Key(*ONE)) == {PUBLICATION}


async def test_a_namespace_hears_of_its_first_function_and_of_its_last(context: Context) -> None:
    """One beside others changes nothing for it; one that takes the place of another of its name may be the first."""
    assert NAMESPACE in await seen(context, body())
    assert NAMESPACE not in await seen(context, body("other"))
    changes.forget(context, WATCHED_FUNCTIONS, "a", "one")
    assert NAMESPACE not in queued(context)
    assert NAMESPACE in await seen(context, body("other", 3, metadata={"uid": "again"}))
    changes.forget(context, WATCHED_FUNCTIONS, "a", "other")
    assert NAMESPACE in queued(context)


async def test_an_unchanged_function_means_nothing(context: Context) -> None:
    """Such as the echo of our own status."""
    await seen(context, body())
    assert await seen(context, body(version=2)) == set()


async def test_an_older_event_does_not_overwrite(context: Context) -> None:
    """Events come later than the answers to our own writes."""
    await seen(context, body(version=5, spec={"runtime": "node"}))
    assert await seen(context, body(version=4)) == set()
    facts = context.cluster[WATCHED_FUNCTIONS].get("a", "one")
    assert facts is not None
    assert facts.runtime == "node"


async def test_a_function_made_anew_is_taken_in_whatever_its_version(context: Context) -> None:
    """Another uid is another object."""
    await seen(context, body(version=5))
    assert ONE in await seen(context, body(version=4, metadata={"uid": "v"}))


async def test_a_change_of_runtime_concerns_both_pools(context: Context) -> None:
    """The old one may go, the new one may be needed."""
    await seen(context, body())
    assert {POOL, ("Pool", "a", "node")} <= await seen(context, body(version=2, spec={"runtime": "node"}))


async def test_a_function_that_is_gone_leaves_no_trace(context: Context) -> None:
    """Pool, policy and counts are looked at again, once."""
    await seen(context, body())
    changes.forget(context, WATCHED_FUNCTIONS, "a", "one")
    assert queued(context) == {ONE, PUBLICATION, POOL, RUNTIME, NAMESPACE}
    assert not context.cluster[WATCHED_FUNCTIONS].names()
    assert not context.cluster[WATCHED_FUNCTIONS].namespaces()
    changes.forget(context, WATCHED_FUNCTIONS, "a", "one")
    assert queued(context) == set()


async def test_a_function_that_is_gone_stays_gone(context: Context) -> None:
    """Its reconciler may have read it, or written its status, just before, and hear of that only after."""
    await seen(context, body())
    changes.forget(context, WATCHED_FUNCTIONS, "a", "one", uid="uid-of-one")
    queued(context)
    assert await seen(context, body(version=2), by=Key(*ONE)) == set()
    assert not context.cluster[WATCHED_FUNCTIONS].names()
    assert ONE in await seen(context, body(version=3, metadata={"uid": "another"}))


async def test_the_end_of_a_function_is_not_that_of_its_successor(context: Context) -> None:
    """Deleted and made anew at once: what is told of the two may come in any order."""
    await seen(context, body())
    await seen(context, body(version=5, metadata={"uid": "another"}))
    changes.forget(context, WATCHED_FUNCTIONS, "a", "one", uid="uid-of-one")
    assert queued(context) == set()
    assert context.cluster[WATCHED_FUNCTIONS].names() == {("a", "one")}


async def test_what_is_given_back_is_offered_to_those_who_were_refused(context: Context) -> None:
    """And to nobody else."""
    asking = {"reservedConcurrentExecutions": 500}
    await seen(context, body("has", spec=asking, status={"reservedConcurrentExecutions": 500}))
    await seen(context, body("wants", spec=asking))
    await seen(context, body("content"))
    changes.forget(context, WATCHED_FUNCTIONS, "a", "has")
    functions = {key for key in queued(context) if key[0] == "Function"}
    assert functions == {("Function", "a", "wants"), ("Function", "a", "has")}


async def test_a_runtime_that_appears_is_told_to_those_who_wait_for_it(context: Context) -> None:
    """Functions and pools; its status alone concerns nobody."""
    await seen(context, body())
    runtime = {"metadata": {"name": "python3.13", "uid": "r", "resourceVersion": "1"}, "spec": {"image": "i"}}
    await changes.observe(context, WATCHED_RUNTIMES, runtime)
    assert queued(context) == {ONE, POOL, RUNTIME}
    await changes.observe(context, WATCHED_RUNTIMES, runtime | {"status": {"idle": 2}})
    assert queued(context) == set()


async def test_annotations_of_a_namespace_concern_everything_in_it(context: Context) -> None:
    """Quota, account id and pool sizes are read from them."""
    await seen(context, body())
    await changes.observe(context, WATCHED_NAMESPACES, account())
    queued(context)
    await changes.observe(context, WATCHED_NAMESPACES, account())
    assert queued(context) == set()
    await changes.observe(context, WATCHED_NAMESPACES, account(note="1"))
    assert queued(context) == {NAMESPACE, ONE, POOL}


async def test_archives_name_a_function_that_runs_them(context: Context) -> None:
    """Who can publish them again."""
    await seen(context, body(status={"deployed": {"code": {"sha256": "abc"}}}))
    assert wanted_archives(context) == {"abc": Key(*ONE)}


def access_point(uid: str, version: int) -> dict[str, Any]:
    """An AccessPoint of namespace `a`."""
    metadata = {"name": "one", "namespace": "a", "uid": uid, "resourceVersion": str(version), "generation": 1}
    return {"metadata": metadata, "spec": {"persistentVolumeClaim": "c"}}


@pytest.mark.parametrize("ended_first", [True, False])
async def test_an_object_made_anew_as_it_was_is_looked_at(context: Context, ended_first: bool) -> None:
    """Its facts are those of the one before, whose end may be told of late or never: nobody has looked at this one."""
    point = Key("AccessPoint", "a", "one")
    await changes.observe(context, WATCHED_ACCESS_POINTS, access_point("former", 1))
    if ended_first:
        changes.forget(context, WATCHED_ACCESS_POINTS, "a", "one", uid="former", version=2)
    queued(context)
    await changes.observe(context, WATCHED_ACCESS_POINTS, access_point("present", 3))
    assert (point.kind, "a", "one") in queued(context)


async def test_users_of_what_was_made_anew_hear_that_the_former_went(context: Context) -> None:
    """Who follows only what comes and goes: the namespace may have lost its first function."""
    await seen(context, body())
    assert NAMESPACE in await seen(context, body(version=5, metadata={"uid": "another"}))


async def test_a_late_view_of_a_former_object_does_not_hide_its_successor(context: Context) -> None:
    """A page of a long list, for instance; with the end of the former, the successor would be forgotten as well."""
    await seen(context, body(version=1))
    await seen(context, body(version=5, metadata={"uid": "another"}))
    assert await seen(context, body(version=3)) == set()
    changes.forget(context, WATCHED_FUNCTIONS, "a", "one", uid="uid-of-one", version=4)
    facts = context.cluster[WATCHED_FUNCTIONS].get("a", "one")
    assert facts is not None
    assert facts.uid == "another"


async def test_what_comes_back_as_the_same_object_is_known_again(context: Context) -> None:
    """One whose label was taken away and given back: its watch tells first of an end, then of a beginning."""
    await seen(context, body(version=1))
    changes.forget(context, WATCHED_FUNCTIONS, "a", "one", uid="uid-of-one", version=2)
    queued(context)
    assert await seen(context, body(version=2)) == set()
    assert ONE in await seen(context, body(version=3))


async def test_an_end_that_is_told_late_is_none_for_what_came_back(context: Context) -> None:
    """The answer to our own write gave it its label back."""
    await seen(context, body(version=3))
    queued(context)
    changes.forget(context, WATCHED_FUNCTIONS, "a", "one", uid="uid-of-one", version=2)
    assert queued(context) == set()
    assert context.cluster[WATCHED_FUNCTIONS].names() == {("a", "one")}
