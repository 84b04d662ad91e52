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
from tests.pollers.identity_provider import SECRET, IdentityProvider
from tests.pollers.kafka_broker import PASSWORD, USER, KafkaBroker
from tests.pollers.topics import KeptReports, TopicOfTests

from kubelambda.api.reasons import Reason
from kubelambda.core.environment.component_callers import CallerRole, caller_proof
from kubelambda.core.mapping.kafka_place import TokenPlace
from kubelambda.kube.kube_client import KubeClient
from kubelambda.outbound.service_credentials import CredentialsMissing
from kubelambda.pollers.function_invoker import FunctionInvoker
from kubelambda.pollers.mapping_view import MappingView
from kubelambda.pollers.poller_factory import PollerFactory
from kubelambda.pollers.schemas.reading_processes import ReadingProcesses
from kubelambda.pollers.sources.access_tokens import access_tokens, read_token_client
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


async def test_a_cluster_that_lets_in_others_only_is_told_of(topic: TopicOfTests, clusters: str) -> None:
    """With what it has: a cluster for callers of IAM alone is none that can be read."""
    secrets = Secrets(aws={"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests"})
    connection = {"endpointUrl": clusters, "credentialsSecret": {"name": "aws"}}
    view = topic.view(selfManagedEventSource=None, eventSourceArn=CLUSTER, connection=connection)
    with pytest.raises(SourceUnreachable, match=r"no brokers for who we are .* only BootstrapBrokerStringSaslScram"):
        await work(topic, view, secrets)


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


@pytest.fixture
async def provider(kafka_broker: KafkaBroker) -> AsyncIterator[IdentityProvider]:
    """Who gives out tokens."""
    found = IdentityProvider(kafka_broker)
    await found.start()
    yield found
    await found.close()


TOKENS = [
    {"type": "OAUTHBEARER_AUTH", "uri": "client"},
    {"type": "OAUTHBEARER_SCOPE", "uri": "topics:read"},
    {"type": "OAUTHBEARER_AUDIENCE", "uri": "kafka"},
    {"type": "OAUTHBEARER_LOGICAL_CLUSTER", "uri": "lkc-1"},
    {"type": "OAUTHBEARER_IDENTITY_POOL", "uri": "pool-1"},
    {"type": "SERVER_ROOT_CA_CERTIFICATE", "uri": "authority"},
]


def by_tokens(topic: TopicOfTests, **client: str) -> tuple[MappingView, Secrets]:
    """A mapping that logs in with tokens, and its Secrets."""
    secrets = Secrets(client=client, authority={"certificate": topic.broker.authority})
    return topic.view("TOKENS", sourceAccessConfigurations=TOKENS), secrets


async def test_a_token_of_an_identity_provider_is_taken(topic: TopicOfTests, provider: IdentityProvider) -> None:
    """By a broker that verifies it; one token serves all connections of a mapping."""
    view, secrets = by_tokens(topic, **provider.secret())
    await work(topic, view, secrets)
    assert provider.asked == [{"grant_type": "client_credentials", "scope": "topics:read", "audience": "kafka"}]


@pytest.mark.parametrize(
    ("client", "reason", "message"),
    [
        (
            {"oauthClientSecret": "other"},
            Reason.SOURCE_AUTHENTICATION_FAILED,
            "the token endpoint gives us no token: invalid_client Nobody of that name",
        ),
        (
            {"oauthIdpCaCertificate": ""},
            Reason.SOURCE_AUTHENTICATION_FAILED,
            "the certificate of the token endpoint is not trusted",
        ),
        (
            {"oauthIdpCaCertificate": "none"},
            Reason.SOURCE_AUTHENTICATION_FAILED,
            "oauthIdpCaCertificate in Secret client is no certificate",
        ),
        ({"path": "/broken"}, Reason.SOURCE_UNAVAILABLE, "the token endpoint cannot be asked: it answers 502"),
    ],
)
async def test_who_gets_no_token_says_why(
    topic: TopicOfTests, provider: IdentityProvider, client: dict[str, str], reason: Reason, message: str
) -> None:
    """With the provider's own words where it has some, and never with the secret."""
    client = dict(client)
    if "path" in client:
        client["oauthTokenEndpointUrl"] = provider.url.replace("/token", client.pop("path"))
    view, secrets = by_tokens(topic, **provider.secret(**client))
    with pytest.raises(SourceUnreachable, match=message) as raised:
        await work(topic, view, secrets)
    assert raised.value.reason is reason
    assert SECRET not in str(raised.value)


async def test_a_token_for_another_broker_is_refused(topic: TopicOfTests, provider: IdentityProvider) -> None:
    """By the broker: the mapping says that it is not taken for who it is."""
    provider.claims = {"aud": "elsewhere"}
    view, secrets = by_tokens(topic, **provider.secret())
    with pytest.raises(SourceUnreachable, match=r"it does not take our token: .*invalid_token") as raised:
        await work(topic, view, secrets)
    assert raised.value.reason is Reason.SOURCE_AUTHENTICATION_FAILED


async def test_a_token_is_had_anew_before_it_is_over(kafka_broker: KafkaBroker, provider: IdentityProvider) -> None:
    """And one that is good for now is not asked for again, by however many connections."""
    client = await read_token_client(Secrets(client=provider.secret()), "shop", "client")
    async with access_tokens(client, TokenPlace("client", None, None, ())) as tokens:
        found = await asyncio.gather(*(tokens.token() for _ in range(5)))
        assert (len(set(found)), len(provider.asked)) == (1, 1)
    provider.lifetime_s = 0.001
    async with access_tokens(client, TokenPlace("client", None, None, ())) as tokens:
        for _ in range(2):
            await tokens.token()
            await asyncio.sleep(0.01)
    assert provider.asked == [{"grant_type": "client_credentials"}] * 3


async def test_nobody_asks_for_tokens_where_only_we_may_be(provider: IdentityProvider) -> None:
    """Nor without encryption, nor with a key that is not served."""
    client = await read_token_client(Secrets(client=provider.secret()), "shop", "client")
    refused = [ip_network("127.0.0.0/8")]
    async with access_tokens(client, TokenPlace("client", None, None, ()), refused) as tokens:
        with pytest.raises(SourceUnreachable, match="nothing that is configured can be at"):
            await tokens.current()
    for changed, message in (
        ({"oauthTokenEndpointUrl": "http://idp/token"}, "is no https://"),
        ({"oauthPrivateKey": "k"}, "assertions are not served"),
        ({"oauthClientSecret": ""}, "Secret client has no key oauthClientSecret"),
    ):
        with pytest.raises(CredentialsMissing, match=message):
            await read_token_client(Secrets(client=provider.secret(**changed)), "shop", "client")
    assert provider.asked == []
