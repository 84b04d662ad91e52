"""From Lambda's parameters to the spec, the patch that does it, and whose fields it would write."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubelambda.awsapi.function.spec_changes import changed, merge_patch, owners, paths

SPEC = {"runtime": "python3.13", "timeout": 3, "environment": {"variables": {"AA": "1"}, "from": [{"name": "T"}]}}


def test_what_is_not_named_stays() -> None:
    """An update names what changes."""
    assert changed(SPEC, {"Timeout": 9}) == SPEC | {"timeout": 9}


def test_variables_are_replaced_as_a_whole_and_references_stay() -> None:
    """Lambda knows no references to Secrets: what it does not know, it does not take away."""
    after = changed(SPEC, {"Environment": {"Variables": {"BB": "2"}}})
    assert after["environment"] == {"variables": {"BB": "2"}, "from": [{"name": "T"}]}


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []}}, "vpcConfig"),
        ({"DeadLetterConfig": {}}, "deadLetterConfig"),
    ],
)
def test_empty_values_take_a_field_away(parameters: dict[str, Any], field: str) -> None:
    """Both lists of a network empty, or no target of a dead-letter queue (§1.3)."""
    assert field not in changed(SPEC | {field: {"x": 1}}, parameters)


def apply(document: Any, patch: Any) -> Any:
    """JSON merge patch, as RFC 7396 has it."""
    if not isinstance(patch, dict):
        return patch
    found = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = apply(found.get(name), value)
    return found


leaves = st.one_of(st.integers(), st.text(max_size=3), st.booleans(), st.lists(st.integers(), max_size=2))
documents = st.recursive(
    leaves, lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3), max_leaves=8
)
objects = st.dictionaries(st.sampled_from("abcd"), documents, max_size=4)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(objects, objects)
def test_the_patch_makes_one_of_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    """For any two specs; and of equal ones it says nothing."""
    assert apply(before, merge_patch(before, after)) == after
    assert merge_patch(after, after) == {}


APPLIED = {
    "manager": "argocd-controller",
    "operation": "Apply",
    "fieldsV1": {
        "f:spec": {
            "f:timeout": {},
            "f:environment": {"f:variables": {"f:AA": {}}},
            "f:layers": {},
            "f:vpcConfig": {".": {}},
        }
    },
}


@pytest.mark.parametrize(
    ("path", "owned"),
    [
        (("spec", "timeout"), True),
        (("spec", "memorySize"), False),
        (("spec", "environment", "variables", "AA"), True),
        (("spec", "environment", "variables", "BB"), False),
        (("spec", "environment"), True),
        (("spec", "layers"), True),
        (("spec", "vpcConfig", "subnetIds"), False),
        (("spec", "vpcConfig"), True),
    ],
)
def test_whose_field_it_is(path: tuple[str, ...], owned: bool) -> None:
    """A declared field, something in it, or what it is in."""
    assert owners([APPLIED], [path]) == ([("argocd-controller", ".".join(path))] if owned else [])


def test_only_declarations_count() -> None:
    """A status, a kubectl edit, and our own writes are no claims; kubectl apply of the older kind is one."""
    fields: dict[str, Any] = {"fieldsV1": {"f:spec": {"f:timeout": {}}}}
    found = [
        {"manager": "kubectl-edit", "operation": "Update", **fields},
        {"manager": "kubelambda-awsapi", "operation": "Update", **fields},
        {"manager": "scaler", "operation": "Apply", "subresource": "scale", **fields},
        {"manager": "kubectl-client-side-apply", "operation": "Update", **fields},
    ]
    assert owners(found, [("spec", "timeout")]) == [("kubectl-client-side-apply", "spec.timeout")]


@pytest.mark.parametrize(
    ("applied", "owned"),
    [
        ({"spec": {"timeout": 3}}, True),
        ({"spec": {"memorySize": 128}}, False),
        ({"spec": {}}, False),
        ({}, False),
        ({"spec": None}, True),
        (None, True),
    ],
)
def test_what_kubectl_was_not_given_it_does_not_declare(applied: dict[str, Any] | None, owned: bool) -> None:
    """Defaults are in the fields that Kubernetes says are its; the configuration that it keeps tells them apart."""
    fields: dict[str, Any] = {"fieldsV1": {"f:spec": {"f:timeout": {}}}}
    kubectl = {"manager": "kubectl-client-side-apply", "operation": "Update", **fields}
    found = owners([kubectl], [("spec", "timeout")], applied=applied)
    assert found == ([("kubectl-client-side-apply", "spec.timeout")] if owned else [])
    other = {"manager": "argocd-controller", "operation": "Apply", **fields}
    assert owners([other], [("spec", "timeout")], applied=applied) == [("argocd-controller", "spec.timeout")]


def test_paths_end_where_a_patch_writes() -> None:
    """Leaves, removals, and maps that are written empty."""
    patch = {"timeout": 1, "environment": {"variables": {"AA": None}}, "tags": {}}
    assert set(paths(patch)) == {("timeout",), ("environment", "variables", "AA"), ("tags",)}
