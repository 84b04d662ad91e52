"""The definitions of FunctionVersion and Alias on a real API server: accepted, refused, and with whose words (§1.5)."""

import json
from typing import Any

import pytest
from tests.integration.control_plane import ControlPlane

ALIAS: dict[str, Any] = {"functionName": "hello", "name": "live", "functionVersion": "3"}
TRACKING: dict[str, Any] = {"targetValue": 0.7, "minCapacity": 1, "maxCapacity": 10}
COOLED: dict[str, Any] = {**TRACKING, "scaleOutCooldown": 0, "scaleInCooldown": 0, "disableScaleIn": True}


def manifest(kind: str, spec: dict[str, Any], name: str = "tried") -> dict[str, Any]:
    """An object of the API group; None takes a field away."""
    return {
        "apiVersion": "kubelambda.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {field: value for field, value in spec.items() if value is not None},
    }


def create(control_plane: ControlPlane, kind: str, spec: dict[str, Any]) -> str:
    """What the API server says; empty when it accepts. Stores nothing."""
    text = json.dumps(manifest(kind, spec))
    finished = control_plane.kubectl("create", "--dry-run=server", "--filename", "-", stdin=text)
    return finished.stderr if finished.returncode else ""


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"functionVersion": "$LATEST"},
        {"functionVersion": None, "codeSha256": "A" * 43 + "="},
        {"routingConfig": {"additionalVersionWeights": {"4": 0.1}}},
        {"routingConfig": {"additionalVersionWeights": {"4": 0}}},
        {"provisionedConcurrency": {"provisionedConcurrentExecutions": 2}},
        {"provisionedConcurrency": {"targetTracking": TRACKING}},
        {
            "provisionedConcurrency": {
                "targetTracking": COOLED,
                "scheduledActions": [
                    {
                        "name": "morning",
                        "schedule": "cron(0 8 ? * MON-FRI *)",
                        "timezone": "Europe/Berlin",
                        "minCapacity": 5,
                    }
                ],
            }
        },
    ],
)
def test_good_aliases_are_accepted(control_plane: ControlPlane, spec: dict[str, Any]) -> None:
    """By number or by content, weighted, provisioned by a number, a target or a schedule."""
    assert create(control_plane, "Alias", {**ALIAS, **spec}) == ""


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"functionName": None}, "spec.functionName: Required value"),
        ({"name": "12"}, "the name of an alias is no number"),
        ({"name": "a b"}, "spec.name"),
        ({"name": "n" * 129}, "may not be more than 128"),
        ({"functionVersion": None}, "give exactly one of functionVersion and codeSha256"),
        ({"codeSha256": "A" * 43 + "="}, "give exactly one of functionVersion and codeSha256"),
        ({"functionVersion": "three"}, "spec.functionVersion"),
        (
            {"routingConfig": {"additionalVersionWeights": {"4": 0.1, "5": 0.1}}},
            "Number of items in AdditionalVersionWeights cannot be greater than 1",
        ),
        ({"routingConfig": {"additionalVersionWeights": {"4": 1.1}}}, "should be less than or equal to 1"),
        ({"routingConfig": {"additionalVersionWeights": {"4": -0.1}}}, "should be greater than or equal to 0"),
        ({"routingConfig": {"additionalVersionWeights": {"$LATEST": 0.1}}}, "names published versions"),
        (
            {"routingConfig": {"additionalVersionWeights": {"3": 0.1}}},
            "Invalid function version 3. Function version 3 is already included in routing configuration.",
        ),
        (
            {"functionVersion": "$LATEST", "routingConfig": {"additionalVersionWeights": {"4": 0.1}}},
            "$LATEST is not supported for an alias pointing to more than 1 version",
        ),
        (
            {"functionVersion": "$LATEST", "provisionedConcurrency": {"provisionedConcurrentExecutions": 1}},
            "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
        ),
        ({"provisionedConcurrency": {}}, "give provisionedConcurrentExecutions, targetTracking or scheduledActions"),
        ({"provisionedConcurrency": {"targetTracking": {**TRACKING, "minCapacity": 11}}}, "minCapacity is more than"),
        (
            {"provisionedConcurrency": {"targetTracking": {**TRACKING, "targetValue": 0.05}}},
            "greater than or equal to 0.1",
        ),
        (
            {"provisionedConcurrency": {"targetTracking": {**TRACKING, "targetValue": 0.95}}},
            "less than or equal to 0.9",
        ),
        (
            {"provisionedConcurrency": {"scheduledActions": [{"name": "a", "schedule": "daily", "minCapacity": 1}]}},
            "schedule",
        ),
        (
            {"provisionedConcurrency": {"scheduledActions": [{"name": "a", "schedule": "rate(1 day)"}]}},
            "give at least one of minCapacity and maxCapacity",
        ),
    ],
)
def test_bad_aliases_are_refused_with_lambdas_words(
    control_plane: ControlPlane, spec: dict[str, Any], message: str
) -> None:
    """By the API server itself, before anything is stored."""
    assert message in create(control_plane, "Alias", {**ALIAS, **spec})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"functionName": "hello"}, ""),
        ({"functionName": "hello", "description": "first", "codeSha256": "A" * 43 + "="}, ""),
        ({"functionName": "hello", "provisionedConcurrency": {"provisionedConcurrentExecutions": 2}}, ""),
        ({}, "spec.functionName: Required value"),
        ({"functionName": "Hello"}, "spec.functionName"),
        ({"functionName": "hello", "codeSha256": "abc"}, "spec.codeSha256"),
    ],
)
def test_versions_are_checked(control_plane: ControlPlane, spec: dict[str, Any], message: str) -> None:
    """A function name is all that publishing needs."""
    said = create(control_plane, "FunctionVersion", spec)
    assert message in said if message else said == ""


@pytest.mark.parametrize(
    ("kind", "spec", "changed", "message"),
    [
        ("Alias", ALIAS, {"functionVersion": "4"}, ""),
        ("Alias", ALIAS, {"functionName": "other"}, "functionName is fixed"),
        ("Alias", ALIAS, {"name": "other"}, "the name of an alias is fixed"),
        ("FunctionVersion", {"functionName": "hello"}, {"description": "late"}, "description is fixed"),
        ("FunctionVersion", {"functionName": "hello"}, {"functionName": "other"}, "functionName is fixed"),
        ("FunctionVersion", {"functionName": "hello"}, {"codeSha256": "A" * 43 + "="}, "codeSha256 is fixed"),
        (
            "FunctionVersion",
            {"functionName": "hello"},
            {"provisionedConcurrency": {"provisionedConcurrentExecutions": 2}},
            "",
        ),
    ],
)
def test_what_a_thing_is_cannot_be_changed(
    control_plane: ControlPlane,
    namespace: str,
    *,
    kind: str,
    spec: dict[str, Any],
    changed: dict[str, Any],
    message: str,
) -> None:
    """Where an alias leads can, and how many environments are provisioned."""
    first = manifest(kind, spec)
    first["metadata"]["namespace"] = namespace
    assert control_plane.apply([first]).returncode == 0
    first["spec"] = {**spec, **changed}
    said = control_plane.apply([first]).stderr
    assert message in said if message else said == ""


def test_an_alias_is_scaled_like_a_deployment(control_plane: ControlPlane, namespace: str) -> None:
    """By kubectl, and so by everything that speaks to the scale subresource."""
    alias = manifest("Alias", {**ALIAS, "provisionedConcurrency": {"provisionedConcurrentExecutions": 2}})
    alias["metadata"]["namespace"] = namespace
    assert control_plane.apply([alias]).returncode == 0
    scope = ("--namespace", namespace)
    scaled = control_plane.kubectl(*scope, "scale", "alias/tried", "--replicas=4")
    assert scaled.returncode == 0, scaled.stderr
    path = "jsonpath={.spec.provisionedConcurrency.provisionedConcurrentExecutions}"
    assert control_plane.kubectl(*scope, "get", "alias", "tried", "--output", path).stdout == "4"
