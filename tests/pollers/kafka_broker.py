"""A broker of Kafka as a process of its own: killed and started again with what it keeps, by every way to log in."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from joserfc.jwk import RSAKey
from tests.ports import free_port

USER, PASSWORD = "poller", "p-ss-w0rd"
STRANGER = "stranger"
"""A user who may read nothing, with the same password."""
_START_S = 120.0
_IMAGE = Path(__file__).parent.parent.parent / "e2e" / "images" / "kafka"
_JARS = Path.home() / ".cache" / "kubelambda" / "kafka"
_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners={listeners}
listener.security.protocol.map={protocols}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{user};User:CN=poller
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
message.max.bytes=16777216
replica.fetch.max.bytes=16777216
auto.create.topics.enable=false
"""
_LOGIN = """
listener.name.{name}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.{name}.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.{name}.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.{name}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  user_{user}="{password}" user_{stranger}="{password}";
"""
_CERTIFICATE = """
listener.name.{name}.ssl.keystore.type=PEM
listener.name.{name}.ssl.keystore.location={folder}/{pair}.pem
listener.name.{name}.ssl.truststore.type=PEM
listener.name.{name}.ssl.truststore.location={folder}/authority.crt
listener.name.{name}.ssl.client.auth={client}
"""
_TOKENS = """
listener.name.tokens.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.tokens.oauthbearer.sasl.jaas.config=\\
  org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
listener.name.tokens.oauthbearer.sasl.server.callback.handler.class=\\
  org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler
listener.name.tokens.oauthbearer.sasl.oauthbearer.jwks.endpoint.url={keys}
listener.name.tokens.oauthbearer.sasl.oauthbearer.expected.audience={audience}
"""
AUDIENCE = "kafka"
"""Of the tokens that the broker takes."""
_LISTENERS = {
    "PLAIN": "PLAINTEXT",
    "CONTROLLER": "PLAINTEXT",
    "LOGIN": "SASL_PLAINTEXT",
    "LOGINTLS": "SASL_SSL",
    "MUTUAL": "SSL",
    "EXPIRED": "SSL",
    "TOKENS": "SASL_SSL",
}


class KafkaBroker:
    """A broker in `folder`, with a port for each way in. It keeps ports, topics and offsets over its starts."""

    def __init__(self, folder: Path) -> None:
        if which("java") is None:
            pytest.fail("Kafka needs a Java: install Debian's default-jre-headless")
        subprocess.run([sys.executable, str(_IMAGE / "fetch_jars.py"), str(_JARS)], check=True)
        self.folder = folder
        self._ports = {name: free_port() for name in _LISTENERS}
        self._process: subprocess.Popen[bytes] | None = None
        _make_certificates(folder)
        self.authority = (folder / "authority.crt").read_text()
        """Who has signed the certificates, PEM."""
        self.token_key = RSAKey.generate_key(2048, {"kid": "tokens", "alg": "RS256", "use": "sig"})
        """What tokens are signed with that the broker takes."""
        (folder / "keys.json").write_text(json.dumps({"keys": [self.token_key.as_dict(private=False)]}))
        (folder / "server.properties").write_text(self._properties())
        scram = [
            f"SCRAM-SHA-{size}=[name={user},password={PASSWORD}]" for size in (256, 512) for user in (USER, STRANGER)
        ]
        logins = [word for each in scram for word in ("--add-scram", each)]
        where = ["--cluster-id", "AAAAAAAAAAAAAAAAAAAAAA", "--config", str(folder / "server.properties")]
        subprocess.run(
            [*self._java(), "kafka.tools.StorageTool", "format", *where, *logins], check=True, capture_output=True
        )

    def server(self, listener: str = "PLAIN") -> str:
        """Address of a way in."""
        return f"127.0.0.1:{self._ports[listener]}"

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        with (self.folder / "output").open("ab") as output:
            program = ["kafka.Kafka", str(self.folder / "server.properties")]
            self._process = subprocess.Popen([*self._java(), *program], stdout=output, stderr=output)
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"Kafka does not start:\n{(self.folder / 'output').read_text()[-4000:]}")
            time.sleep(0.2)

    def kill(self) -> None:
        """Ends it in the middle of what it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def create_topic(self, name: str, partitions: int = 1) -> None:
        """Makes a topic, and waits until it can be written to."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.server())
        await admin.start()
        try:
            answer = await admin.create_topics([NewTopic(name, partitions, 1)])
            assert all(error[1] == 0 for error in answer.topic_errors), answer
            deadline = time.monotonic() + _START_S
            while not _led(await admin.describe_topics([name]), partitions):
                assert time.monotonic() < deadline, await admin.describe_topics([name])
                await asyncio.sleep(0.05)
        finally:
            await admin.close()

    def producer(self, compression: str | None = None) -> AIOKafkaProducer:
        """A client that writes."""
        return AIOKafkaProducer(
            bootstrap_servers=self.server(), max_request_size=16 << 20, compression_type=compression
        )

    def _answers(self) -> bool:
        """Whether every way in is open: they open one after the other."""
        try:
            for port in self._ports.values():
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    def _properties(self) -> str:
        places = ",".join(f"{name}://127.0.0.1:{port}" for name, port in self._ports.items())
        protocols = ",".join(f"{name}:{protocol}" for name, protocol in _LISTENERS.items())
        text = _PROPERTIES.format(
            folder=self.folder,
            controller=self._ports["CONTROLLER"],
            listeners=places,
            protocols=protocols,
            user=USER,
        )
        for name in ("login", "logintls"):
            text += _LOGIN.format(name=name, user=USER, stranger=STRANGER, password=PASSWORD)
        for name, pair, client in (
            ("logintls", "server", "none"),
            ("mutual", "server", "required"),
            ("expired", "expired", "none"),
            ("tokens", "server", "none"),
        ):
            text += _CERTIFICATE.format(name=name, folder=self.folder, pair=pair, client=client)
        return text + _TOKENS.format(keys=self._token_keys, audience=AUDIENCE)

    @property
    def _token_keys(self) -> str:
        """Where the keys are that tokens are signed with."""
        return (self.folder / "keys.json").as_uri()

    def _java(self) -> list[str]:
        options = ["-Xmx320m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{_JARS}/*"]
        return ["java", f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self._token_keys}", *options]


def _led(topics: list[Any], partitions: int) -> bool:
    """Whether every partition of a topic has a leader, which is what comes after the answer that it is made."""
    (topic,) = topics
    leaders = [each["leader"] for each in topic["partitions"] if each["error_code"] == 0]
    return topic["error_code"] == 0 and len(leaders) == partitions and min(leaders) >= 0


def _make_certificates(folder: Path) -> None:
    """An authority; and, signed by it, a certificate of the server, one that has expired, and one of the poller."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "authority.key", "-out", "authority.crt", "-subj", "/CN=authority")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    authority = ("-CA", "authority.crt", "-CAkey", "authority.key", "-CAcreateserial", "-extfile", "names")
    for name, days in (("server", "2"), ("expired", "-1"), ("poller", "2")):
        openssl("req", "-new", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.crt", "-days", days, *authority)
        pair = (folder / f"{name}.key").read_text() + (folder / f"{name}.crt").read_text()
        (folder / f"{name}.pem").write_text(pair)
