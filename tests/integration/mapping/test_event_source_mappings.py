"""EventSourceMapping on a real API server: what is refused and with whose words, and what the operator says (§7.1)."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from tests.integration.control_plane import ControlPlane
from tests.integration.functions import Functions, condition, eventually
from tests.integration.processes import Installation

from kubelambda.core.mapping.shard_lineage import ShardProgress
from kubelambda.kube.errors import Unreachable
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import EVENT_SOURCE_MAPPINGS, FUNCTIONS, LEASES
from kubelambda.pollers.shard_checkpoints import MappingTaken, ShardCheckpoints, lease_name

QUEUE = "arn:aws:sqs:us-east-1:123456789012:orders"
FIFO = f"{QUEUE}.fifo"
STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"
BROKER = "arn:aws:mq:us-east-1:123456789012:broker:shop:b-1"
LOGIN = {"type": "BASIC_AUTH", "uri": "mq-login"}
HOST = {"type": "VIRTUAL_HOST", "uri": "/"}
RABBIT = {
    "eventSourceArn": BROKER,
    "queues": ["orders"],
    "connection": {"endpointUrl": "amqp://rabbit:5672"},
    "sourceAccessConfigurations": [LOGIN, HOST],
}
TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
CLUSTER = "arn:aws:kafka:us-east-1:123456789012:cluster/orders/0a1b2c-3"
ENDPOINTS = {"selfManagedEventSource": {"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["kafka:9092"]}}}
SCRAM = {"type": "SASL_SCRAM_512_AUTH", "uri": "login"}
TOKENS = {"type": "OAUTHBEARER_AUTH", "uri": "client"}
AUTHORITY = {"type": "SERVER_ROOT_CA_CERTIFICATE", "uri": "authority"}
SCHEMAS = {
    "schemaRegistryURI": "https://schemas:8081",
    "eventRecordFormat": "SOURCE",
    "schemaValidationConfigs": [{"attribute": "KEY"}, {"attribute": "VALUE"}],
    "accessConfigs": [
        {"type": "BASIC_AUTH", "uri": "arn:aws:secretsmanager:us-east-1:123456789012:secret:login-AbCdEf"}
    ],
}
NO_WINDOW = "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"


def mapping(spec: dict[str, Any], name: str = "orders", namespace: str = "default") -> Object:
    """A mapping that differs from a good one by `spec`."""
    return {
        "apiVersion": "kubelambda.dev/v1alpha1",
        "kind": "EventSourceMapping",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"functionName": "hello", "eventSourceArn": QUEUE, **spec},
    }


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, ""),
        ({"functionName": "hello:live", "batchSize": 10_000, "maximumBatchingWindowInSeconds": 1}, ""),
        ({"eventSourceArn": FIFO, "batchSize": 10}, ""),
        ({"scalingConfig": {"maximumConcurrency": 2}, "functionResponseTypes": ["ReportBatchItemFailures"]}, ""),
        ({"batchSize": 11}, NO_WINDOW),
        ({"batchSize": 0}, "greater than or equal to 1"),
        ({"batchSize": 10_001, "maximumBatchingWindowInSeconds": 1}, "less than or equal to 10000"),
        ({"maximumBatchingWindowInSeconds": 301}, "less than or equal to 300"),
        ({"eventSourceArn": FIFO, "batchSize": 11, "maximumBatchingWindowInSeconds": 1}, "FIFO queue is 10 at most"),
        ({"eventSourceArn": FIFO, "maximumBatchingWindowInSeconds": 1}, "not supported for FIFO queues"),
        ({"scalingConfig": {"maximumConcurrency": 1}}, "greater than or equal to 2"),
        ({"provisionedPollerConfig": {}}, ""),
        ({"provisionedPollerConfig": {"minimumPollers": 2, "maximumPollers": 2}}, ""),
        ({"provisionedPollerConfig": {"minimumPollers": 1}}, "a queue has 2 provisioned pollers at least"),
        ({"provisionedPollerConfig": {"minimumPollers": 3, "maximumPollers": 2}}, "is more than maximumPollers"),
        ({"provisionedPollerConfig": {"maximumPollers": 2001}}, "less than or equal to 2000"),
        (
            {"provisionedPollerConfig": {}, "scalingConfig": {"maximumConcurrency": 2}},
            "exclude each other",
        ),
        (
            {"eventSourceArn": STREAM, "startingPosition": "LATEST", "provisionedPollerConfig": {}},
            "of queues of SQS and of Kafka only",
        ),
        ({"functionResponseTypes": ["Other"]}, "ReportBatchItemFailures"),
        ({"eventSourceArn": "arn:aws:rds:us-east-1:123456789012:cluster:c"}, "sources are SQS queues"),
        (
            {"eventSourceArn": f"{STREAM}/consumer/fast:1700000000", "startingPosition": "LATEST"},
            "enhanced fan-out is not served: give the ARN of the stream itself",
        ),
        ({"startingPosition": "LATEST"}, "startingPosition is of streams only"),
        ({"parallelizationFactor": 2}, "parallelizationFactor is of streams only"),
        ({"eventSourceArn": STREAM}, "Value null at 'startingPosition' failed to satisfy constraint"),
        ({"eventSourceArn": STREAM, "startingPosition": "LATEST", "parallelizationFactor": 10}, ""),
        ({"eventSourceArn": TABLE, "startingPosition": "TRIM_HORIZON", "bisectBatchOnFunctionError": True}, ""),
        ({"eventSourceArn": STREAM, "startingPosition": "AT_TIMESTAMP"}, "needs startingPositionTimestamp"),
        ({"eventSourceArn": STREAM, "startingPosition": "AT_TIMESTAMP", "startingPositionTimestamp": 1.5e9}, ""),
        (
            {"eventSourceArn": TABLE, "startingPosition": "AT_TIMESTAMP", "startingPositionTimestamp": 1.5e9},
            "Unsupported starting position for arn type",
        ),
        ({"eventSourceArn": STREAM, "startingPosition": "LATEST", "maximumRecordAgeInSeconds": 59}, "60 to 604800"),
        ({"eventSourceArn": STREAM, "startingPosition": "LATEST", "scalingConfig": {}}, "scalingConfig is of queues"),
        (
            {
                "eventSourceArn": STREAM,
                "startingPosition": "LATEST",
                "destinationConfig": {"onFailure": {"destination": QUEUE}},
            },
            "",
        ),
        (
            {
                "eventSourceArn": STREAM,
                "startingPosition": "LATEST",
                "destinationConfig": {"onSuccess": {"destination": QUEUE}},
            },
            "tells of failures only",
        ),
        (
            {
                "eventSourceArn": STREAM,
                "startingPosition": "LATEST",
                "tumblingWindowInSeconds": 60,
                "parallelizationFactor": 2,
            },
            "one state a shard",
        ),
        ({"topics": ["a"]}, "topics is of Kafka only"),
        ({"destinationConfig": {"onFailure": {"destination": QUEUE}}}, "destinationConfig is of streams only"),
        ({"filterCriteria": {"filters": [{"pattern": "{}"}] * 11}}, "must have at most 10 items"),
        (RABBIT, ""),
        ({**RABBIT, "connection": {"endpointUrl": "stomp+ssl://mq"}, "sourceAccessConfigurations": [LOGIN]}, ""),
        ({**RABBIT, "batchSize": 10_000, "maximumBatchingWindowInSeconds": 0}, ""),
        ({**RABBIT, "queues": ["a", "b"]}, "must have at most 1 item"),
        ({**RABBIT, "queues": None}, "exactly one queue: queues"),
        ({**RABBIT, "sourceAccessConfigurations": None}, "BASIC_AUTH in sourceAccessConfigurations names a Secret"),
        ({**RABBIT, "sourceAccessConfigurations": [LOGIN, LOGIN]}, "knows us by one user"),
        ({**RABBIT, "sourceAccessConfigurations": [LOGIN, HOST, HOST]}, "VIRTUAL_HOST once at most"),
        (
            {**RABBIT, "sourceAccessConfigurations": [LOGIN, {"type": "SASL_SCRAM_512_AUTH", "uri": "a"}]},
            "sourceAccessConfigurations has BASIC_AUTH, VIRTUAL_HOST and SERVER_ROOT_CA_CERTIFICATE only",
        ),
        ({**RABBIT, "connection": {"endpointUrl": "stomp://mq"}}, "VIRTUAL_HOST is of RabbitMQ only"),
        ({**RABBIT, "connection": {"endpointUrl": "http://mq"}}, "connection.endpointUrl is amqp://"),
        ({"connection": {"endpointUrl": "amqp://mq"}}, "connection.endpointUrl is amqp://"),
        ({**RABBIT, "functionResponseTypes": ["ReportBatchItemFailures"]}, "a batch fails as a whole"),
        ({**RABBIT, "scalingConfig": {"maximumConcurrency": 2}}, "scalingConfig is of queues of SQS"),
        ({**RABBIT, "startingPosition": "LATEST"}, "startingPosition is of streams only"),
        ({"queues": ["orders"]}, "queues is of brokers of MQ only"),
        ({"sourceAccessConfigurations": [LOGIN]}, "of Kafka and of brokers of MQ only"),
        ({"connection": {"endpointUrl": "sqs:9324"}}, "spec.connection.endpointUrl"),
        ({"functionName": "hello:"}, "spec.functionName"),
        ({"batchsize": 1}, 'unknown field "spec.batchsize"'),
    ],
)
def test_ranges_and_combinations_are_checked(control_plane: ControlPlane, spec: dict[str, Any], message: str) -> None:
    """By the API server itself, before anything is stored."""
    _check(control_plane, mapping(spec), message)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, ""),
        ({"sourceAccessConfigurations": [SCRAM, AUTHORITY], "batchSize": 10_000}, ""),
        ({"startingPosition": "AT_TIMESTAMP", "startingPositionTimestamp": 1.5e9, "maximumRetryAttempts": 3}, ""),
        ({"destinationConfig": {"onFailure": {"destination": "kafka://failed"}}}, ""),
        ({"selfManagedKafkaEventSourceConfig": {"consumerGroupId": "orders"}}, ""),
        ({"selfManagedKafkaEventSourceConfig": {"schemaRegistryConfig": SCHEMAS}}, ""),
        (
            {"selfManagedKafkaEventSourceConfig": {"schemaRegistryConfig": {**SCHEMAS, "schemaValidationConfigs": []}}},
            "should have at least 1 items",
        ),
        (
            {
                "selfManagedKafkaEventSourceConfig": {
                    "schemaRegistryConfig": {
                        **SCHEMAS,
                        "schemaRegistryURI": "arn:aws:glue:us-east-1:123456789012:registry/r",
                    }
                }
            },
            "schemaRegistryURI",
        ),
        ({"provisionedPollerConfig": {"minimumPollers": 1, "maximumPollers": 2}}, ""),
        ({"selfManagedEventSource": None, "eventSourceArn": CLUSTER}, ""),
        ({"eventSourceArn": CLUSTER}, "give either eventSourceArn or"),
        ({"selfManagedEventSource": None}, "give either eventSourceArn or"),
        ({"topics": None}, "reads exactly one topic"),
        ({"topics": ["a", "b"]}, "must have at most 1 item"),
        ({"startingPosition": None}, "Value null at 'startingPosition' failed to satisfy constraint"),
        ({"amazonManagedKafkaEventSourceConfig": {"consumerGroupId": "orders"}}, "of clusters with an ARN only"),
        ({"sourceAccessConfigurations": [SCRAM, {"type": "BASIC_AUTH", "uri": "other"}]}, "knows us by one user"),
        ({"sourceAccessConfigurations": [{"type": "VIRTUAL_HOST", "uri": "/"}]}, "of RabbitMQ only"),
        ({"sourceAccessConfigurations": [TOKENS, {"type": "OAUTHBEARER_SCOPE", "uri": "topics read"}]}, ""),
        ({"sourceAccessConfigurations": [TOKENS, SCRAM]}, "knows us by one user"),
        ({"sourceAccessConfigurations": [{"type": "OAUTHBEARER_AUDIENCE", "uri": "kafka"}]}, "are of tokens"),
        (
            {"selfManagedEventSource": None, "eventSourceArn": CLUSTER, "sourceAccessConfigurations": [TOKENS]},
            "is of selfManagedEventSource only",
        ),
        ({"sourceAccessConfigurations": [{"type": "IAM_AUTH", "uri": "none"}]}, 'Unsupported value: "IAM_AUTH"'),
        ({"parallelizationFactor": 2}, "parallelizationFactor is of streams only"),
        ({"tumblingWindowInSeconds": 60}, "tumblingWindowInSeconds is of streams only"),
        ({"scalingConfig": {"maximumConcurrency": 2}}, "scalingConfig is of queues"),
        ({"selfManagedEventSource": {"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["kafka"]}}}, "KAFKA_BOOTSTRAP_SERVERS"),
    ],
)
def test_members_of_kafka_are_checked(control_plane: ControlPlane, spec: dict[str, Any], message: str) -> None:
    """Those of a cluster with an ARN and of one without."""
    whole = {"eventSourceArn": None, "startingPosition": "LATEST", "topics": ["orders"], **ENDPOINTS, **spec}
    made = mapping({})
    made["spec"] = {name: value for name, value in ({**made["spec"], **whole}).items() if value is not None}
    _check(control_plane, made, message)


def test_a_topic_is_a_destination_of_kafkas_mappings_only(control_plane: ControlPlane) -> None:
    """It is of the cluster that the records are of."""
    spec = {"eventSourceArn": STREAM, "startingPosition": "LATEST"}
    made = mapping({**spec, "destinationConfig": {"onFailure": {"destination": "kafka://failed"}}})
    _check(control_plane, made, "a destination for mappings of Kafka only")


def _check(control_plane: ControlPlane, made: Object, message: str) -> None:
    text = json.dumps(made)
    finished = control_plane.kubectl("create", "--dry-run=server", "--filename", "-", stdin=text)
    assert message in finished.stderr if message else finished.returncode == 0, finished.stderr


class Mappings:
    """Mappings of the test's namespace."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions

    def apply(self, name: str, **spec: Any) -> None:
        """One that must be accepted."""
        applied = self._functions.control_plane.apply([mapping(spec, name, self._functions.namespace)])
        assert applied.returncode == 0, applied.stderr

    async def until(self, name: str, holds: Callable[[Object], bool]) -> Object:
        """Its status once that speaks of its spec and `holds`."""
        found: Object = {}

        async def there() -> bool:
            body = await self._functions.client.get(EVENT_SOURCE_MAPPINGS, name, self._functions.namespace)
            found.clear()
            found.update(body["status"])
            return body["status"]["observedGeneration"] == body["metadata"]["generation"] and holds(found)

        await eventually(there)
        return found

    async def because(self, name: str, reason: str) -> Object:
        """Its status once Ready has that reason."""
        return await self.until(name, lambda status: condition(status, "Ready").get("reason") == reason)


@pytest.fixture
def mappings(functions: Functions) -> Mappings:
    """Mappings beside the functions."""
    return Mappings(functions)


async def test_a_mapping_follows_its_function(running: Installation, functions: Functions, mappings: Mappings) -> None:
    """It waits for the function to be made, and is of no use once that is gone."""
    mappings.apply("orders")
    status = await mappings.because("orders", "FunctionNotFound")
    assert (status["state"], status["stateTransitionReason"]) == ("Disabled", "FUNCTION_CONFIG_NOT_VALID")
    functions.apply("hello")
    status = await mappings.because("orders", "WaitingForPoller")
    assert (status["state"], status["stateTransitionReason"]) == ("Enabling", "USER_INITIATED")
    assert status["functionArn"].endswith(":function:hello")
    await functions.client.delete(FUNCTIONS, "hello", functions.namespace)
    await mappings.because("orders", "FunctionNotFound")


async def test_without_pollers_nothing_is_enabled(
    running: Installation, functions: Functions, mappings: Mappings
) -> None:
    """It stays on its way and says why, and can be paused at once: nobody reads."""
    functions.apply("hello")
    await functions.until("hello", bool)  # the operator has seen it, or the mapping would have no function at first
    mappings.apply("orders")
    status = await mappings.because("orders", "WaitingForPoller")
    assert (status["state"], status["stateTransitionReason"]) == ("Creating", "USER_INITIATED")
    assert condition(status, "Ready")["status"] == "Unknown"
    assert condition(status, "Ready")["message"].startswith("no poller has taken the mapping yet")
    shown = functions.control_plane.kubectl("get", "esm", "orders", "--namespace", functions.namespace)
    assert shown.stdout.splitlines()[1].split()[:4] == ["orders", "hello", "Creating", "Unknown"]
    mappings.apply("orders", enabled=False)
    assert (await mappings.because("orders", "Paused"))["state"] == "Disabled"


async def test_a_mapping_is_paused_and_corrected(
    running: Installation, functions: Functions, mappings: Mappings
) -> None:
    """Whatever it said before."""
    functions.apply("hello")
    mappings.apply("orders", enabled=False)
    status = await mappings.because("orders", "Paused")
    assert (status["state"], condition(status, "Ready")["status"]) == ("Disabled", "True")
    mappings.apply("orders", filterCriteria={"filters": [{"pattern": '{"body": [{"near": 1}]}'}]})
    status = await mappings.because("orders", "InvalidFilter")
    assert condition(status, "Ready")["message"].startswith("Invalid filter pattern definition.")
    mappings.apply("orders", filterCriteria={"filters": [{"pattern": '{"body": [{"prefix": "a"}]}'}]})
    assert (await mappings.because("orders", "WaitingForPoller"))["state"] == "Enabling"


async def test_of_two_mappings_of_one_queue_and_function_the_older_one_stays(
    running: Installation, functions: Functions, mappings: Mappings
) -> None:
    """The newer one says so, in Lambda's words, and takes over when the other is gone."""
    functions.apply("hello")
    mappings.apply("a-first")
    first = await mappings.because("a-first", "WaitingForPoller")
    mappings.apply("b-second")
    mappings.apply("c-other", eventSourceArn=f"{QUEUE}-2")

    def settled(status: Object) -> bool:
        return condition(status, "Ready").get("reason") in ("Duplicate", "WaitingForPoller")

    # Of two that came in one second chance says which is the older one.
    one = await mappings.until("b-second", settled)
    loser = "b-second" if condition(one, "Ready")["reason"] == "Duplicate" else "a-first"
    status = await mappings.because(loser, "Duplicate")
    other = await mappings.until("a-first", settled)
    winner = other if loser == "b-second" else one
    assert condition(winner, "Ready")["reason"] == "WaitingForPoller"
    assert (
        f"already exists. Please update or delete the existing mapping with UUID {winner['uuid']}"
        in (condition(status, "Ready")["message"])
    )
    assert first["uuid"] in {one["uuid"], other["uuid"]}
    assert (await mappings.because("c-other", "WaitingForPoller"))["state"] == "Creating"
    gone = "a-first" if loser == "b-second" else "b-second"
    await functions.client.delete(EVENT_SOURCE_MAPPINGS, gone, functions.namespace)
    assert (await mappings.because(loser, "WaitingForPoller"))["stateTransitionReason"] == "USER_INITIATED"


async def test_a_poller_that_lost_a_stream_cannot_move_its_position(
    running: Installation, functions: Functions, mappings: Mappings
) -> None:
    """The next one goes on from what was written, and the former finds out at its next write."""
    functions.apply("hello")
    mappings.apply("clicks", eventSourceArn=STREAM, startingPosition="TRIM_HORIZON")
    status = await mappings.because("clicks", "WaitingForPoller")
    assert status["stateTransitionReason"] == "User action"
    former, next_one = (
        ShardCheckpoints(functions.client, functions.namespace, "clicks", f"kubelambda-poller-{name}") for name in "ab"
    )
    assert await former.claim() == {}
    await former.write({"shard-1": ShardProgress("7", finished=True), "shard-2": ShardProgress("8")})
    assert await next_one.claim() == {"shard-1": ShardProgress("7", finished=True), "shard-2": ShardProgress("8")}
    with pytest.raises(MappingTaken):
        await former.write({"shard-2": ShardProgress("9")})
    await next_one.write({"shard-2": ShardProgress("10")})
    status = await mappings.until(
        "clicks", lambda found: found.get("checkpoints", {}).get("poller") == "kubelambda-poller-b"
    )
    assert [shard["sequenceNumber"] for shard in status["checkpoints"]["shards"]] == ["7", "8"]
    assert await ShardCheckpoints(functions.client, functions.namespace, "clicks", "c").claim() == {
        "shard-2": ShardProgress("10")
    }
    await functions.client.delete(EVENT_SOURCE_MAPPINGS, "clicks", functions.namespace)
    with pytest.raises(MappingTaken):
        await next_one.claim()


async def test_positions_are_written_where_no_watcher_of_mappings_sees_them(
    running: Installation, functions: Functions, mappings: Mappings
) -> None:
    """Into a Lease that the mapping owns; one that somebody deleted is made again, and a lost answer does no harm."""
    checkpoints, uid = await _claimed(functions, mappings)
    before = await functions.client.get(EVENT_SOURCE_MAPPINGS, "clicks", functions.namespace)
    for number in range(3):
        await checkpoints.write({"shard-1": ShardProgress(str(number))})
    after = await functions.client.get(EVENT_SOURCE_MAPPINGS, "clicks", functions.namespace)
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    lease = await functions.client.get(LEASES, lease_name(uid), functions.namespace)
    assert lease["metadata"]["ownerReferences"][0]["uid"] == uid
    await functions.client.patch(
        LEASES, lease_name(uid), {"metadata": {"annotations": {"a": "b"}}}, functions.namespace
    )
    await checkpoints.write({"shard-1": ShardProgress("3")})
    await functions.client.delete(LEASES, lease_name(uid), functions.namespace)
    await checkpoints.write({"shard-1": ShardProgress("4")})
    assert await _next(functions).claim() == {"shard-1": ShardProgress("4")}


async def test_positions_that_no_lease_can_hold_stand_in_the_status(
    running: Installation, functions: Functions, mappings: Mappings
) -> None:
    """Until it can hold them again; the next poller believes the one that is further."""
    checkpoints, _ = await _claimed(functions, mappings)
    many = {f"shardId-{number:012}": ShardProgress("4" * 56) for number in range(4000)}
    await checkpoints.write({"shard-1": ShardProgress("1")})
    await checkpoints.write(many)
    assert await _next(functions).claim() == many
    third = ShardCheckpoints(functions.client, functions.namespace, "clicks", "third")
    assert await third.claim() == many
    await third.write({"shard-1": ShardProgress("2")})
    assert await _next(functions).claim() == {"shard-1": ShardProgress("2")}


async def test_a_mapping_made_anew_gets_no_positions_of_the_one_before(
    running: Installation, functions: Functions, mappings: Mappings
) -> None:
    """Neither by a poller that still works the other one, nor by one that was about to begin with it."""
    checkpoints, before = await _claimed(functions, mappings)
    await functions.client.delete(EVENT_SOURCE_MAPPINGS, "clicks", functions.namespace)
    mappings.apply("clicks", eventSourceArn=STREAM, startingPosition="TRIM_HORIZON")
    after = (await mappings.because("clicks", "WaitingForPoller"))["uuid"]
    many = {f"shardId-{number:012}": ShardProgress("4" * 56) for number in range(4000)}  # more than a Lease can hold
    with pytest.raises(MappingTaken):
        await checkpoints.write(many)
    with pytest.raises(MappingTaken):
        await _next(functions).claim(before)
    assert await _next(functions).claim(after) == {}


@pytest.mark.parametrize("crashed", [False, True])
async def test_a_poller_of_a_release_without_leases_hands_over_what_it_did(
    running: Installation, functions: Functions, mappings: Mappings, *, crashed: bool
) -> None:
    """The status counts while it names such a one, and the Lease when its holder died before it was named there."""
    checkpoints, _ = await _claimed(functions, mappings)
    await checkpoints.write({"shard-1": ShardProgress("5")})
    if crashed:

        async def die(*_: Any, **__: Any) -> None:
            raise Unreachable("dead")

        dying = _next(functions)
        dying._write_status = die  # type: ignore[method-assign]
        with pytest.raises(Unreachable):
            await dying.claim()
        expected = "5"
    else:
        told = {"poller": "old", "shards": [{"shardId": "shard-1", "sequenceNumber": "9", "finished": False}]}
        manifest = {"metadata": {"name": "clicks", "namespace": functions.namespace}, "status": {"checkpoints": told}}
        await functions.client.apply(EVENT_SOURCE_MAPPINGS, manifest, manager="old", subresource="status")
        expected = "9"
    assert await _next(functions).claim() == {"shard-1": ShardProgress(expected)}


async def _claimed(functions: Functions, mappings: Mappings) -> tuple[ShardCheckpoints, str]:
    """The positions of a mapping of a stream, and its uid."""
    functions.apply("hello")
    mappings.apply("clicks", eventSourceArn=STREAM, startingPosition="TRIM_HORIZON")
    status = await mappings.because("clicks", "WaitingForPoller")
    found = ShardCheckpoints(functions.client, functions.namespace, "clicks", "kubelambda-poller-a")
    assert await found.claim() == {}
    return found, status["uuid"]


def _next(functions: Functions) -> ShardCheckpoints:
    return ShardCheckpoints(functions.client, functions.namespace, "clicks", f"next-{uuid4().hex[:6]}")
