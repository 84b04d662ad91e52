"""Event source mappings by the control API (§7.1): made, listed, changed and deleted against a real operator."""

import json
import time
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
from tests.integration.control_api.control_api import Answered, Api
from tests.integration.control_api.test_writers import at_once
from tests.integration.control_plane import ControlPlane
from tests.integration.functions import listed

from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import EVENT_SOURCE_MAPPINGS

PATH = "/2015-03-31/event-source-mappings"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:queue"
STABLE = ("Enabled", "Disabled")
pytestmark = pytest.mark.usefixtures("poller")


def settled(api: Api, uuid: str) -> dict[str, Any]:
    """The mapping once no change of it is under way."""
    deadline = time.monotonic() + 90
    while True:
        found = api.call("GET", f"{PATH}/{uuid}")
        assert found.status == 200, found
        if found.body["State"] in STABLE:
            body: dict[str, Any] = found.body
            return body
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def created(api: Api, **more: Any) -> Answered:
    """A mapping of the queue to `hello` that differs by `more`."""
    return api.call("POST", PATH, {"EventSourceArn": QUEUE, "FunctionName": "hello", **more})


async def test_a_mapping_from_create_to_delete(api: Api, client: KubeClient) -> None:
    """202 with the states on the way, the defaults of a queue, and the object that kubectl shows (§7.1.2, §7.1.9)."""
    api.active("hello")
    found = created(api)
    assert found.status == 202
    uuid = found.body["UUID"]
    assert abs(found.body.pop("LastModified") - time.time()) < 600
    assert found.body == {
        "UUID": uuid,
        "EventSourceMappingArn": f"arn:aws:lambda:us-east-1:{api.account}:event-source-mapping:{uuid}",
        "EventSourceArn": QUEUE,
        "FunctionArn": api.arn("hello"),
        "BatchSize": 10,
        "MaximumBatchingWindowInSeconds": 0,
        "FunctionResponseTypes": [],
        "State": "Creating",
        "StateTransitionReason": "USER_INITIATED",
    }
    assert settled(api, uuid)["State"] == "Enabled"

    criteria = {"Filters": [{"Pattern": json.dumps({"body": {"kind": ["a"]}})}]}
    change = {
        "Enabled": False,
        "BatchSize": 50,
        "MaximumBatchingWindowInSeconds": 5,
        "FilterCriteria": criteria,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": 7},
    }
    updated = api.call("PUT", f"{PATH}/{uuid}", change)
    assert (updated.status, updated.body["State"]) == (202, "Disabling")
    shown = settled(api, uuid)
    assert shown["State"] == "Disabled"
    assert {member: shown[member] for member in change if member != "Enabled"} == {
        member: value for member, value in change.items() if member != "Enabled"
    }
    objects = await listed(client, EVENT_SOURCE_MAPPINGS, api.namespace)
    spec = objects[0]["spec"]
    assert (spec["enabled"], spec["batchSize"], spec["scalingConfig"]) == (False, 50, {"maximumConcurrency": 7})

    assert api.call("PUT", f"{PATH}/{uuid}", {"FilterCriteria": {}, "ScalingConfig": {}}).status == 202
    shown = settled(api, uuid)
    assert shown.keys().isdisjoint({"FilterCriteria", "ScalingConfig"})

    deleted = api.call("DELETE", f"{PATH}/{uuid}")
    assert (deleted.status, deleted.body["State"]) == (202, "Deleting")
    missing = api.call("GET", f"{PATH}/{uuid}")
    assert (missing.status, missing.error) == (404, "ResourceNotFoundException")
    assert missing.text == "The resource you requested does not exist."


def test_lists_are_by_function_by_source_and_by_page(api: Api) -> None:
    """A function is as a mapping names it, with its alias or without."""
    api.active("hello")
    sources = [f"{QUEUE}-{number}" for number in range(3)]
    for source in sources:
        assert created(api, EventSourceArn=source).status == 202
    assert created(api, FunctionName="hello:$LATEST").status == 202
    listed = api.call("GET", f"{PATH}?FunctionName=hello").body["EventSourceMappings"]
    assert sorted(each["EventSourceArn"] for each in listed) == sources
    listed = api.call("GET", f"{PATH}?EventSourceArn={quote(QUEUE, safe='')}").body["EventSourceMappings"]
    assert [each["FunctionArn"] for each in listed] == [f"{api.arn('hello')}:$LATEST"]
    found, marker = [], ""
    while True:
        page = api.call("GET", f"{PATH}?MaxItems=3{marker}").body
        found += [each["UUID"] for each in page["EventSourceMappings"]]
        if "NextMarker" not in page:
            break
        marker = f"&Marker={page['NextMarker']}"
    assert len(set(found)) == len(found) == 4
    assert api.call("GET", f"{PATH}?FunctionName=other").body == {"EventSourceMappings": []}


def test_of_many_that_map_the_same_one_succeeds(api: Api) -> None:
    """The others are told which mapping there is (§7.1.5)."""
    api.active("hello")
    answers = at_once(*[partial(created, api) for _ in range(5)])
    assert sorted(found.status for found in answers) == [202] + [409] * 4
    uuid = next(found for found in answers if found.status == 202).body["UUID"]
    text = (
        f'An event source mapping with SQS arn (" {QUEUE} ") and function (" hello ") already exists. '
        f"Please update or delete the existing mapping with UUID {uuid}"
    )
    assert {found.text for found in answers if found.status == 409} == {text}


def test_a_mapping_that_git_made_is_read_and_not_written(api: Api, control_plane: ControlPlane) -> None:
    """Its UUID finds it; what the manifest declares answers 409 with the manager's name."""
    api.active("hello")
    manifest = {
        "apiVersion": "kubelambda.dev/v1alpha1",
        "kind": "EventSourceMapping",
        "metadata": {"name": "by-git", "namespace": api.namespace},
        "spec": {"functionName": "hello", "eventSourceArn": QUEUE, "batchSize": 3},
    }
    applied = control_plane.kubectl(
        "apply", "--server-side", "--field-manager=argocd-controller", "--filename", "-", stdin=json.dumps(manifest)
    )
    assert applied.returncode == 0, applied.stderr
    uuid = api.call("GET", PATH).body["EventSourceMappings"][0]["UUID"]
    assert settled(api, uuid)["BatchSize"] == 3
    refused = api.call("PUT", f"{PATH}/{uuid}", {"BatchSize": 4})
    assert (refused.status, refused.error) == (409, "ResourceConflictException")
    assert "spec.batchSize" in refused.text
    assert "argocd-controller" in refused.text
    assert api.call("PUT", f"{PATH}/{uuid}", {"MaximumBatchingWindowInSeconds": 1}).status == 202


def test_mappings_stay_when_their_function_goes(api: Api) -> None:
    """They remain and fail (§1.5.3)."""
    api.active("hello")
    uuid = created(api).body["UUID"]
    settled(api, uuid)
    assert api.function("DELETE", "hello").status == 204
    assert api.call("GET", f"{PATH}/{uuid}").status == 200


def test_tags_of_a_mapping(api: Api) -> None:
    """As of functions, by the mapping's ARN."""
    api.active("hello")
    arn = created(api, Tags={"a": "1"}).body["EventSourceMappingArn"]
    path = f"/2017-03-31/tags/{quote(arn, safe='')}"
    assert api.call("POST", path, {"Tags": {"b": "2"}}).status == 204
    assert api.call("DELETE", f"{path}?tagKeys=a").status == 204
    assert api.call("GET", path).body == {"Tags": {"b": "2"}}
    missing = quote(arn[:-1] + ("0" if arn[-1] != "0" else "1"), safe="")
    assert api.call("GET", f"/2017-03-31/tags/{missing}").text.startswith("Event source mapping not found: arn:")


def test_a_stream_with_all_its_members(api: Api) -> None:
    """Every member of a stream's mapping there and back, and Lambda's defaults of those that are not given (§7.1.9)."""
    api.active("hello")
    stream = "arn:aws:kinesis:us-east-1:123456789012:stream/clicks"
    given = {
        "StartingPosition": "AT_TIMESTAMP",
        "StartingPositionTimestamp": 1767323045.0,
        "BatchSize": 200,
        "ParallelizationFactor": 3,
        "BisectBatchOnFunctionError": True,
        "MaximumRecordAgeInSeconds": 600,
        "MaximumRetryAttempts": 4,
        "DestinationConfig": {"OnFailure": {"Destination": QUEUE}},
    }
    found = created(api, EventSourceArn=stream, **given)
    assert found.status == 202, found
    assert {member: found.body[member] for member in given} == given
    assert (found.body["State"], found.body["StateTransitionReason"]) == ("Creating", "User action")
    assert found.body["LastProcessingResult"] == "No records processed"
    uuid = found.body["UUID"]
    settled(api, uuid)
    change = {"DestinationConfig": {"OnFailure": {}}, "MaximumRetryAttempts": -1}
    assert api.call("PUT", f"{PATH}/{uuid}", change).status == 202
    shown = settled(api, uuid)
    assert (shown["DestinationConfig"], shown["MaximumRetryAttempts"]) == ({"OnFailure": {}}, -1)
    again = created(api, EventSourceArn=stream, StartingPosition="LATEST")
    text = f'The event source arn (" {stream} ") and function (" hello ") provided mapping already exists. '
    text += f"Please update or delete the existing mapping with UUID {uuid}"
    assert (again.status, again.text) == (409, text)


async def test_the_schemas_and_pollers_of_a_topic_are_changed_and_its_group_stays(api: Api) -> None:
    """A registry with a Secrets Manager's ARN, as the model wants it; what is provisioned is shown with defaults."""
    api.active("hello")
    registry = {
        "SchemaRegistryURI": "https://schemas:8081",
        "EventRecordFormat": "JSON",
        "SchemaValidationConfigs": [{"Attribute": "VALUE"}],
        "AccessConfigs": [
            {"Type": "BASIC_AUTH", "URI": "arn:aws:secretsmanager:us-east-1:123456789012:secret:schemas-AbC123"}
        ],
    }
    access = [
        {"Type": "SASL_SCRAM_512_AUTH", "URI": "arn:aws:secretsmanager:us-east-1:123456789012:secret:login-AbC123"}
    ]
    made = api.call(
        "POST",
        PATH,
        {
            "FunctionName": "hello",
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["kafka:9092"]}},
            "Topics": ["orders"],
            "StartingPosition": "LATEST",
            "SourceAccessConfigurations": access,
            "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "group", "SchemaRegistryConfig": registry},
            "ProvisionedPollerConfig": {"MinimumPollers": 3},
        },
    )
    assert made.status == 202, made
    assert made.body["ProvisionedPollerConfig"] == {"MinimumPollers": 3, "MaximumPollers": 200}
    assert made.body["SelfManagedKafkaEventSourceConfig"]["SchemaRegistryConfig"] == registry
    uuid = made.body["UUID"]
    settled(api, uuid)
    source = {**registry, "EventRecordFormat": "SOURCE"}
    changed = api.call("PUT", f"{PATH}/{uuid}", {"SelfManagedKafkaEventSourceConfig": {"SchemaRegistryConfig": source}})
    assert changed.status == 202, changed
    assert changed.body["SelfManagedKafkaEventSourceConfig"] == {
        "ConsumerGroupId": "group",
        "SchemaRegistryConfig": source,
    }


async def test_a_queue_of_a_broker_is_read_by_the_control_api_too(api: Api, client: KubeClient) -> None:
    """With Lambda's members; two queues of one broker are two sources (§7.1.5, §7.6)."""
    api.active("hello")
    broker = "arn:aws:mq:us-east-1:123456789012:broker:shop:b-1"
    login = {"Type": "BASIC_AUTH", "URI": "arn:aws:secretsmanager:us-east-1:123456789012:secret:mq-login-AbC123"}
    access = [login, {"Type": "VIRTUAL_HOST", "URI": "eu"}]
    of_broker = partial(created, api, EventSourceArn=broker)
    for missing, given in (("queues", {}), ("sourceAccessConfigurations", {"Queues": ["orders"]})):
        refused = of_broker(**given)
        assert (refused.status, refused.text) == (400, f"Required '{missing}' parameter is missing.")
    found = of_broker(Queues=["orders"], SourceAccessConfigurations=access)
    assert found.status == 202, found
    members = ("BatchSize", "Queues", "SourceAccessConfigurations", "LastProcessingResult", "StateTransitionReason")
    assert [found.body[each] for each in members] == [
        100,
        ["orders"],
        access,
        "No records processed",
        "USER_INITIATED",
    ]
    assert settled(api, found.body["UUID"])["State"] == "Enabled"
    again = of_broker(Queues=["orders"], SourceAccessConfigurations=access)
    assert (again.status, again.error) == (409, "ResourceConflictException")
    assert again.text.endswith(f"mapping with UUID {found.body['UUID']}")
    assert of_broker(Queues=["others"], SourceAccessConfigurations=access).status == 202
    objects = await listed(client, EVENT_SOURCE_MAPPINGS, api.namespace)
    assert sorted(each["spec"]["queues"][0] for each in objects) == ["orders", "others"]
    changed = api.call("PUT", f"{PATH}/{found.body['UUID']}", {"BatchSize": 7})
    assert (changed.status, changed.body["State"], changed.body["BatchSize"]) == (202, "Updating", 7)


def test_a_way_to_log_in_that_is_not_served_is_named(api: Api) -> None:
    """Those of IAM: only AWS can say who that is. Tokens of anybody else are taken."""
    api.active("hello")

    def of_kafka(*access: dict[str, str]) -> Answered:
        where = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["kafka:9092"]}}
        members = {"SelfManagedEventSource": where, "Topics": ["orders"], "StartingPosition": "LATEST"}
        given = {"FunctionName": "hello", "SourceAccessConfigurations": list(access), **members}
        return api.call("POST", PATH, given)

    for kind in ("IAM_AUTH", "IAM_OAUTHBEARER_AUTH"):
        refused = of_kafka({"Type": kind})
        assert (refused.status, refused.error) == (400, "InvalidParameterValueException")
        assert kind in refused.text
    access = [{"Type": "OAUTHBEARER_AUTH", "URI": "client"}, {"Type": "OAUTHBEARER_SCOPE", "URI": "topics:read"}]
    found = of_kafka(*access)
    assert (found.status, found.body["SourceAccessConfigurations"]) == (202, access)
