"""From a mapping and its Secrets to a poller of Kafka: what is read, asked of a cluster's service, and refused."""

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import web
from tests.pollers.conftest import KEY, Function, eventually
from tests.pollers.kafka_broker import PASSWORD, USER, KafkaBroker
from tests.pollers.topics import KeptReports, TopicOfTests

from kubelambda.core.environment.component_callers import CallerRole, caller_proof
from kubelambda.kube.kube_client import KubeClient
from kubelambda.outbound.service_credentials import CredentialsMissing
from kubelambda.pollers.function_invoker import FunctionInvoker
from kubelambda.pollers.mapping_view import MappingView
from kubelambda.pollers.poller_factory import PollerFactory
from kubelambda.pollers.schemas.reading_processes import ReadingProcesses
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable

CLUSTER = "arn:aws:kafka:us-east-1:123456789012:cluster/orders/0a1b2c-3"


class Secrets(KubeClient):
    """Stands in for the API server, of which only Secrets are read."""

    def __init__(self, **secrets: dict[str, str]) -> None:
        self._secrets = secrets

    async def find(self, resource: Any, name: str, namespace: str | None = None) -> Any:
        """A Secret, encoded as the API server has it."""
        found = self._secrets.get(name)
        if found is None:
            return None
        return {"data": {key: base64.b64encode(value.encode()).decode() for key, value in found.items()}}


@pytest.fixture
async def topic(kafka_broker: KafkaBroker, function: Function) -> TopicOfTests:
    """A topic with one record."""
    found = TopicOfTests(kafka_broker, f"access-{uuid.uuid4().hex[:8]}", function)
    await kafka_broker.create_topic(found.name)
    await found.put(1)
    return found


@pytest.fixture
async def clusters(kafka_broker: KafkaBroker) -> AsyncIterator[str]:
    """A stub of the service of clusters: it says where brokers are."""

    async def brokers(request: web.Request) -> web.Response:
        assert request.match_info["arn"] == CLUSTER
        return web.json_response({"bootstrapBrokerStringSaslScram": kafka_broker.server("LOGINTLS")})

    application = web.Application()
    application.router.add_get("/v1/clusters/{arn:.*}/bootstrap-brokers", brokers)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def work(topic: TopicOfTests, view: MappingView, secrets: Secrets, refused: tuple[Any, ...] = ()) -> None:
    """Works a mapping until its function has seen the record."""
    async with FunctionInvoker(topic.function.url, caller_proof(KEY, CallerRole.POLLERS)) as invoker:
        factory = PollerFactory(
            secrets,
            invoker,
            topic.destination,
            topic.metrics,
            identity="test",
            processes=ReadingProcesses(),
            refused=refused,
        )
        async with factory.open(view, KeptReports(), lambda: 1) as poller:
            running = asyncio.create_task(poller.run())
            await eventually(lambda: topic.numbers() == [1] or running.done(), 90)
            poller.stop()
            await running
    assert topic.numbers() == [1]


async def test_a_cluster_with_an_arn_is_found_by_its_service(topic: TopicOfTests, clusters: str) -> None:
    """With the keys of the connection; its events name it."""
    secrets = Secrets(
        aws={"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests"},
        login={"username": USER, "password": PASSWORD},
        authority={"ca.crt": topic.broker.authority},
    )
    access = [
        {"type": "SASL_SCRAM_512_AUTH", "uri": "login"},
        {"type": "SERVER_ROOT_CA_CERTIFICATE", "uri": "authority"},
    ]
    connection = {"endpointUrl": clusters, "credentialsSecret": {"name": "aws"}}
    view = topic.view(
        selfManagedEventSource=None,
        eventSourceArn=CLUSTER,
        sourceAccessConfigurations=access,
        connection=connection,
    )
    await work(topic, view, secrets)
    event = topic.function.events[0]
    assert (event["eventSource"], event["eventSourceArn"]) == ("aws:kafka", CLUSTER)
    assert event["bootstrapServers"] == topic.broker.server("LOGINTLS")


async def test_a_certificate_of_a_secret_for_tls_is_taken(topic: TopicOfTests) -> None:
    """By the names that Kubernetes gives its keys."""
    folder = topic.broker.folder
    secrets = Secrets(
        mine={"tls.crt": (folder / "poller.crt").read_text(), "tls.key": (folder / "poller.key").read_text()},
        authority={"certificate": topic.broker.authority},
    )
    access = [
        {"type": "CLIENT_CERTIFICATE_TLS_AUTH", "uri": "mine"},
        {"type": "SERVER_ROOT_CA_CERTIFICATE", "uri": "authority"},
    ]
    await work(topic, topic.view("MUTUAL", sourceAccessConfigurations=access), secrets)


async def test_a_secret_without_a_password_is_named(topic: TopicOfTests) -> None:
    """And the key that it lacks."""
    access = [{"type": "BASIC_AUTH", "uri": "login"}]
    view = topic.view("LOGIN", sourceAccessConfigurations=access, connection={"tls": False})
    with pytest.raises(CredentialsMissing, match="Secret login has no key password"):
        await work(topic, view, Secrets(login={"username": USER}))
    with pytest.raises(CredentialsMissing, match="there is no Secret login"):
        await work(topic, view, Secrets())


async def test_nothing_that_is_refused_is_reached(topic: TopicOfTests) -> None:
    """Whoever writes a mapping must not reach what only pollers can."""
    with pytest.raises(SourceUnreachable, match="nothing that is configured can be at"):
        await work(topic, topic.view(), Secrets(), (ip_network("127.0.0.0/8"),))
