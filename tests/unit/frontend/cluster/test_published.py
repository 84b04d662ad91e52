"""Versions and aliases by the names that callers use."""

from typing import Any

from tests.deployed import DEPLOYED

from kubelambda.core.invoke.routing import AliasRoute
from kubelambda.frontend.cluster import views
from kubelambda.frontend.cluster.published import Published
from kubelambda.frontend.cluster.views import AliasView, VersionView

F = ("team", "f")


def version(number: str, created: str = "1", provisioned: int = 0, function: str = "f") -> VersionView:
    """The view of a FunctionVersion."""
    status: dict[str, Any] = {"version": number, "state": "Active", "deployed": {**DEPLOYED, "ofALaterRelease": True}}
    if provisioned:
        status["provisionedConcurrency"] = {"allocated": provisioned}
    body = {"metadata": {"creationTimestamp": created}, "spec": {"functionName": function}, "status": status}
    found = views.version_view(body)
    assert found is not None
    return found


def alias(name: str, routed: str | None, created: str = "1", provisioned: int = 0, **weights: float) -> AliasView:
    """The view of an Alias."""
    status: dict[str, Any] = {
        "routedVersion": routed,
        "routedVersionWeights": {number.removeprefix("v"): weight for number, weight in weights.items()},
        "provisionedConcurrency": {"allocated": provisioned},
    }
    spec = {"functionName": "f", "name": name}
    found = views.alias_view({"metadata": {"creationTimestamp": created}, "spec": spec, "status": status})
    assert found is not None
    return found


def published() -> tuple[Published, list[tuple[str, str]]]:
    """An empty index, and the functions that it says have changed."""
    heard: list[tuple[str, str]] = []
    return Published(heard.append), heard


def test_a_version_is_found_by_its_number_and_runs_what_it_was_published_with() -> None:
    """Whatever else a later release has written into it."""
    found, heard = published()
    found.version_changed(("team", "f-1"), None, version("1"))
    known = found.version(F, "1")
    assert known is not None
    assert known.deployed is not None
    assert (known.deployed.version, known.deployed.revision) == ("1", "a" * 16)
    assert found.route(F, "1") == AliasRoute("1")
    assert found.route(F, "2") is found.route(("other", "f"), "1") is None
    assert heard == [F]


def test_a_version_without_a_number_is_none_yet() -> None:
    """The operator has not published it."""
    body = {"metadata": {}, "spec": {"functionName": "f"}}
    view = views.version_view(body)
    assert view is not None
    assert (view.version, view.deployed) == ("", None)
    found, _ = published()
    found.version_changed(("team", "f-new"), None, view)
    assert found.route(F, "") is None


def test_of_two_objects_with_one_number_the_older_one_is_the_version() -> None:
    """Publishing without a change makes a second one; it goes without a trace."""
    found, _ = published()
    first, second = version("1", "2026-01-01", 2), version("1", "2026-01-02")
    found.version_changed(("team", "f-1"), None, first)
    found.version_changed(("team", "again"), None, second)
    assert found.version(F, "1") is first
    found.version_changed(("team", "again"), second, None)
    assert found.version(F, "1") is first
    found.version_changed(("team", "f-1"), first, None)
    assert found.version(F, "1") is None
    assert list(found.functions("team")) == []


def test_an_object_that_only_repeats_a_version_is_none() -> None:
    """Though it may be the older one: it waited for the function while another one published."""
    found, _ = published()
    repeats = {"metadata": {"creationTimestamp": "2026-01-01"}, "spec": {"functionName": "f"}}
    second = views.version_view(repeats | {"status": {"version": "1", "state": "Active"}})
    first = version("1", "2026-01-02")
    found.version_changed(("team", "asked-early"), None, second)
    found.version_changed(("team", "f-1"), None, first)
    assert found.version(F, "1") is first


def test_an_alias_leads_where_the_operator_routes_it() -> None:
    """Not where its spec says; and nowhere before it is routed."""
    found, heard = published()
    first, routed = alias("live", None), alias("live", "3", v4=0.1)
    found.alias_changed(("team", "f-live"), None, first)
    assert found.route(F, "live") is None
    found.alias_changed(("team", "f-live"), first, routed)
    assert found.route(F, "live") == AliasRoute("3", {"4": 0.1})
    assert found.route(F, "Live") is None
    assert heard == [F, F]


def test_of_two_objects_that_are_one_alias_the_older_one_counts() -> None:
    """Of two of one second it is the one that the operator routes: the other one says that it is another's."""
    found, _ = published()
    found.alias_changed(("team", "b"), None, alias("live", "2", "2026-01-01"))
    found.alias_changed(("team", "a"), None, alias("live", "1", "2026-01-02"))
    assert found.route(F, "live") == AliasRoute("2")
    for name in ("0", "z"):
        found.alias_changed(("team", name), None, alias("live", None, "2026-01-01"))
        assert found.route(F, "live") == AliasRoute("2")


def test_provisioned_concurrency_is_known_by_qualifier() -> None:
    """Of aliases and versions, as far as it was granted."""
    found, _ = published()
    found.version_changed(("team", "f-1"), None, version("1", provisioned=3))
    found.version_changed(("team", "g-1"), None, version("1", provisioned=5, function="g"))
    found.alias_changed(("team", "f-live"), None, alias("live", "2", provisioned=2))
    found.alias_changed(("team", "f-next"), None, alias("next", "2"))
    assert found.provisioned(F) == {"1": 3, "live": 2}
    assert set(found.functions("team")) == {"f", "g"}
    assert found.provisioned(("team", "unknown")) == {}


def test_a_look_finds_what_the_caches_know_an_earlier_state_of() -> None:
    """A version without its number, an alias that led nowhere; and what comes late hides neither."""
    found, _ = published()
    bare, unrouted = version(""), alias("live", None)
    found.version_changed(("team", "f-1"), None, bare)
    found.alias_changed(("team", "f-live"), None, unrouted)
    assert not found.resolvable(F, "live")
    found.unseen("team", {"f-live": alias("live", "1"), "f-next": alias("next", "1")}, {"f-1": version("1")})
    assert found.resolvable(F, "live")
    assert found.resolvable(F, "next")
    found.alias_changed(("team", "f-next"), None, alias("next", None))
    assert found.route(F, "next") == AliasRoute("1")
    found.alias_changed(("team", "f-live"), unrouted, alias("live", "2"))
    assert found.route(F, "live") == AliasRoute("2")
    found.version_changed(("team", "f-1"), bare, None)
    assert found.version(F, "1") is None


def test_a_look_takes_nothing_back_that_the_caches_know() -> None:
    """It may be the older word of both."""
    found, _ = published()
    found.version_changed(("team", "f-1"), None, version("1"))
    found.alias_changed(("team", "f-live"), None, alias("live", "1"))
    found.unseen("team", {"f-live": alias("live", "2")}, {"f-1": version("")})
    assert found.route(F, "live") == AliasRoute("1")
    assert found.resolvable(F, "live")


def test_an_alias_that_nobody_has_led_anywhere_is_told_from_none() -> None:
    """By what the caches know, and by what a look found."""
    found, _ = published()
    assert not found.unrouted(F, "live")
    found.unseen("team", {"f-next": alias("next", None)}, {})
    assert found.unrouted(F, "next")
    found.alias_changed(("team", "f-live"), None, alias("live", None))
    assert found.unrouted(F, "live")
    assert not found.unrouted(F, "1")
    found.alias_changed(("team", "f-live"), alias("live", None), alias("live", "7"))
    assert not found.unrouted(F, "live")


def test_nothing_is_kept_of_functions_that_are_gone() -> None:
    """Their names may never come back: neither of those that were published, nor of those that only a look showed."""
    found, _ = published()
    for number in range(100):
        name = f"f{number}"
        first = version("1", function=name)
        found.unseen("team", {}, {name: first})
        found.version_changed(("team", name), None, first)
        found.version_changed(("team", name), first, None)
    led = alias("live", "1")
    found.unseen("team", {"f-live": led}, {})
    found.alias_changed(("team", "f-live"), None, led)
    found.alias_changed(("team", "f-live"), led, None)
    assert not found._versions
    assert not found._aliases
