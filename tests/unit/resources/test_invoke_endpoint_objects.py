"""What an InvokeEndpoint is made of."""

from kubelambda.resources.invoke_endpoint_objects import (
    EndpointIdentity,
    FrontendAddress,
    endpoint_policy,
    endpoint_service,
    endpoint_slices,
)

ENDPOINT = EndpointIdentity("default", "lambda", "uid-1")


def test_nobody_is_let_in_who_is_not_named() -> None:
    """A rule without peers would be about everybody: there is none."""
    policy = endpoint_policy(ENDPOINT, 20_001, "system", namespaces=[], groups=[])
    assert policy["spec"]["ingress"] == []
    assert policy["spec"]["policyTypes"] == ["Ingress"]


def test_namespaces_and_groups_reach_the_port_and_nothing_else() -> None:
    """Groups are those of the endpoint's own namespace."""
    policy = endpoint_policy(ENDPOINT, 20_001, "system", namespaces=["team-b"], groups=["app"])
    assert policy["metadata"]["namespace"] == "system"
    (rule,) = policy["spec"]["ingress"]
    assert rule["ports"] == [{"port": 20_001, "protocol": "TCP"}]
    named = {"matchLabels": {"kubernetes.io/metadata.name": "default"}}
    member = {"matchLabels": {"security-group.kubelambda.dev/app": ""}}
    assert rule["from"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "team-b"}}},
        {"namespaceSelector": named, "podSelector": member},
    ]


def test_the_service_leads_to_frontends_by_their_addresses() -> None:
    """It selects nothing itself; a family without frontends is empty, so that none stays behind."""
    frontend = FrontendAddress("IPv4", "10.1.2.3", ready=True, serving=True, terminating=False, zone="a", node="n")
    service = endpoint_service(ENDPOINT, 20_001)
    assert "selector" not in service["spec"]
    assert service["spec"]["ports"][0]["targetPort"] == 20_001
    four, six = endpoint_slices(ENDPOINT, 20_001, [frontend])
    assert four["metadata"]["labels"]["kubernetes.io/service-name"] == "lambda"
    assert four["ports"][0]["port"] == 20_001
    (endpoint,) = four["endpoints"]
    assert endpoint == {
        "addresses": ["10.1.2.3"],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "zone": "a",
        "nodeName": "n",
    }
    assert (six["addressType"], six["endpoints"]) == ("IPv6", [])
