"""What is a subscription, and what is said of one that is none (§4.2.1)."""

import json
from typing import Any

import pytest

from kubelambda.core.telemetry.telemetry_subscription import (
    SubscriptionRefused,
    TelemetryApi,
    TelemetrySubscription,
    closed,
    parse_subscription,
)

HTTP = {"protocol": "HTTP", "URI": "http://sandbox.localdomain:8080"}
LEAST = {"schemaVersion": "2022-07-01", "types": ["platform"], "destination": HTTP}
RESERVED = (9001, 9010)


def parsed(body: Any, api: TelemetryApi = TelemetryApi.TELEMETRY) -> TelemetrySubscription:
    """The subscription."""
    return parse_subscription(api, body if isinstance(body, bytes) else json.dumps(body).encode(), RESERVED)


def refused(body: Any, api: TelemetryApi = TelemetryApi.TELEMETRY) -> str:
    """Status, type and text of the refusal."""
    with pytest.raises(SubscriptionRefused) as raised:
        parsed(body, api)
    return f"{raised.value.status} {raised.value.error_type}: {raised.value}"


def test_what_is_not_said_is_lambdas_default() -> None:
    """One second, 10,000 events, 256 KB, POST to the root."""
    assert parsed(LEAST) == TelemetrySubscription(
        TelemetryApi.TELEMETRY, "2022-07-01", ("platform",), 8080, False, "/", "POST", 10_000, 262_144, 1.0
    )


def test_all_of_it_is_taken() -> None:
    """A type that is named twice is one."""
    found = parsed(
        {
            "schemaVersion": "2025-01-29",
            "types": ["function", "platform", "function", "extension"],
            "buffering": {"maxItems": 1000, "maxBytes": 1_048_576, "timeoutMs": 25},
            "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:1/a/b?c=d", "method": "PUT"},
            "more": 1,
        }
    )
    assert (found.schema, found.types) == ("2025-01-29", ("function", "platform", "extension"))
    assert (found.max_items, found.max_bytes, found.timeout_s) == (1000, 1_048_576, 0.025)
    assert (found.port, found.path, found.method, found.tcp) == (1, "/a/b?c=d", "POST", False)


@pytest.mark.parametrize("host", ["sandbox.localdomain", "sandbox", "localhost", "127.0.0.1", "SANDBOX.localdomain"])
def test_names_of_the_environment_itself_are_destinations(host: str) -> None:
    """All of them are its own loopback address."""
    assert parsed(LEAST | {"destination": {"protocol": "HTTP", "URI": f"http://{host}:99/x"}}).port == 99


def test_a_port_is_a_destination_of_tcp() -> None:
    """With nothing besides."""
    found = parsed(LEAST | {"destination": {"protocol": "TCP", "port": 65_535}})
    assert (found.tcp, found.port) == (True, 65_535)


def test_the_logs_api_had_a_version_before_it_had_versions() -> None:
    """And chooses how to deliver."""
    body = {"types": ["function"], "destination": HTTP | {"method": "PUT", "encoding": "JSON"}}
    found = parsed(body, TelemetryApi.LOGS)
    assert (found.schema, found.method) == ("2020-08-15", "PUT")
    assert parsed(body | {"schemaVersion": "2021-03-18"}, TelemetryApi.LOGS).schema == "2021-03-18"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"schemaVersion": None}, "schemaVersion is not provided"),
        ({"schemaVersion": "2020-08-15"}, "schemaVersion should be one of 2022-07-01, 2022-12-13, 2025-01-29"),
        ({"schemaVersion": ["2022-07-01"]}, "schemaVersion should be one of 2022-07-01, 2022-12-13, 2025-01-29"),
        ({"types": []}, "types should not be empty"),
        ({"types": None}, "types should not be empty"),
        ({"types": ["logs"]}, "types should be a list of platform, function, extension"),
        ({"types": [["platform"]]}, "types should be a list of platform, function, extension"),
        ({"types": "platform"}, "types should be a list of platform, function, extension"),
        ({"destination": None}, "destination is not provided; destination.protocol should be HTTP or TCP"),
        ({"destination": {"protocol": "UDP", "port": 1}}, "destination.protocol should be HTTP or TCP"),
        ({"destination": {"protocol": "HTTP"}}, "URI is not provided"),
        ({"destination": {"protocol": "HTTP", "URI": 1}}, "URI is not provided"),
        ({"destination": {"protocol": "HTTP", "URI": "http://sandbox"}}, "URI port is not provided"),
        ({"destination": {"protocol": "TCP"}}, "port is not provided"),
        ({"destination": {"protocol": "TCP", "port": True}}, "port should be a number from 1 to 65535"),
        ({"destination": {"protocol": "TCP", "port": "80"}}, "port should be a number from 1 to 65535"),
        ({"destination": {"protocol": "TCP", "port": 9001}}, "port 9001 is reserved"),
        (
            {"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:09010/specialize"}},
            "URI port 9010 is reserved",
        ),
        (
            {"destination": {"protocol": "HTTP", "URI": "http://sandbox:70000"}},
            "URI port should be a number from 1 to 65535",
        ),
        ({"buffering": []}, "buffering should be an object"),
        ({"buffering": {"maxItems": 999}}, "buffering.maxItems should be a number from 1000 to 10000"),
        ({"buffering": {"maxItems": 10_001}}, "buffering.maxItems should be a number from 1000 to 10000"),
        ({"buffering": {"maxBytes": 262_143}}, "buffering.maxBytes should be a number from 262144 to 1048576"),
        ({"buffering": {"maxBytes": 1_048_577}}, "buffering.maxBytes should be a number from 262144 to 1048576"),
        ({"buffering": {"timeoutMs": 24}}, "buffering.timeoutMs should be a number from 25 to 30000"),
        ({"buffering": {"timeoutMs": 30_001}}, "buffering.timeoutMs should be a number from 25 to 30000"),
        ({"buffering": {"timeoutMs": 100.5}}, "buffering.timeoutMs should be a number from 25 to 30000"),
    ],
)
def test_each_fault_is_named(change: dict[str, Any], text: str) -> None:
    """By the member that has it."""
    assert refused(LEAST | change) == f"400 ValidationError: {text}"


@pytest.mark.parametrize(
    "uri",
    [
        "https://sandbox.localdomain:443",
        "http://sandbox.localdomain:80/a b",
        "http://sandbox.localdomain:80/a\r\nHost: other",
        "http://me@sandbox.localdomain:80/",
        "http://sandbox.localdomain:80#part",
        "http://[::1]:80/",
        "sandbox.localdomain:80",
    ],
)
def test_what_is_no_address_within_is_none(uri: str) -> None:
    """Nothing of it could end the line that it is sent in."""
    body = LEAST | {"destination": {"protocol": "HTTP", "URI": uri}}
    assert refused(body) == "400 ValidationError: URI should be http://sandbox.localdomain:PORT/PATH"


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "example.com", "sandbox.localdomain.example.com"])
def test_nothing_is_sent_beyond_the_environment(host: str) -> None:
    """An agent is no way past the rules of the function's network."""
    body = LEAST | {"destination": {"protocol": "HTTP", "URI": f"http://{host}:80/"}}
    assert refused(body) == "400 ValidationError: URI host should be sandbox.localdomain: nothing is sent to others"


@pytest.mark.parametrize(
    ("body", "begins"),
    [(b"", "the body is no JSON"), (b"{", "the body is no JSON"), (b"[" * 100_000, ""), (b"[]", "the body is no JSON")],
)
def test_what_is_no_object_is_refused(body: bytes, begins: str) -> None:
    """Whatever it is."""
    assert refused(body).startswith(f"400 ValidationError: {begins}")


def test_the_logs_api_has_its_own_name_for_all_that() -> None:
    """And methods of its own to refuse; all that is wrong is said at once."""
    body = {
        "types": [],
        "destination": {"protocol": "HTTP", "URI": "http://sandbox", "method": "GET", "encoding": "XML"},
    }
    problems = refused(body, TelemetryApi.LOGS)
    assert problems == (
        "400 Logs.ValidationError: URI port is not provided; destination.method should be POST or PUT; "
        "destination.encoding should be JSON; types should not be empty"
    )


@pytest.mark.parametrize("api", TelemetryApi)
def test_after_init_it_is_too_late(api: TelemetryApi) -> None:
    """403, by the API's name."""
    found = closed(api)
    assert (found.status, found.error_type) == (403, f"{api.value}.SubscriptionClosed")
