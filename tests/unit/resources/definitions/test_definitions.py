"""Definitions generated from the models are structural, and say everything that the models say."""

from collections.abc import Iterator
from typing import Any

from kubelambda.api.kinds.function import FunctionSpec
from kubelambda.resources.definitions.catalog import definitions


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema within a schema."""
    yield schema
    for child in (schema.get("properties") or {}).values():
        yield from nodes(child)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key])


def schemas() -> dict[str, dict[str, Any]]:
    """The schema of each kind."""
    return {
        found["spec"]["names"]["kind"]: found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for found in definitions()
    }


def test_schemas_are_structural() -> None:
    """References inlined, no alternatives, a type everywhere."""
    for schema in schemas().values():
        for node in nodes(schema):
            assert not {"$ref", "$defs", "anyOf", "allOf", "title", "const"} & node.keys(), node
            assert "type" in node, node


def test_every_field_is_described() -> None:
    """`kubectl explain` has something to say."""
    for schema in schemas().values():
        for part in ("spec", "status"):
            for node in nodes(schema["properties"][part]):
                for name, child in node.get("properties", {}).items():
                    assert child.get("description"), name


def test_every_field_of_the_spec_is_there() -> None:
    """Under the names of the Lambda API."""
    properties = schemas()["Function"]["properties"]["spec"]["properties"]
    assert set(properties) == {field.alias for field in FunctionSpec.model_fields.values()}
    assert {"memorySize", "ephemeralStorage", "vpcConfig", "fileSystemConfigs", "deadLetterConfig"} <= set(properties)


def test_conditions_are_a_map_by_type() -> None:
    """So that several managers can each own theirs."""
    for schema in schemas().values():
        reported = schema["properties"]["status"].get("properties")
        if not reported:  # of a kind that only others read
            continue
        conditions = reported["conditions"]
        assert conditions["x-kubernetes-list-type"] == "map"
        assert conditions["x-kubernetes-list-map-keys"] == ["type"]


def test_names_and_subresources() -> None:
    """Short names, category, status."""
    found = {each["spec"]["names"]["kind"]: each["spec"] for each in definitions()}
    assert found["Function"]["names"]["shortNames"] == ["fn"]
    assert found["Runtime"]["names"]["shortNames"] == ["rt"]
    assert (found["Function"]["scope"], found["Runtime"]["scope"]) == ("Namespaced", "Cluster")
    for spec in found.values():
        assert spec["names"]["categories"] == ["kubelambda"]
        assert spec["versions"][0]["subresources"]["status"] == {}
    assert "specReplicasPath" in found["Alias"]["versions"][0]["subresources"]["scale"]


def test_what_the_api_server_would_drop_is_not_said() -> None:
    """Else two tools that apply the same definition are told that they contradict each other."""
    for schema in schemas().values():
        assert not [node for node in nodes(schema) if node.get("properties") == {}]
