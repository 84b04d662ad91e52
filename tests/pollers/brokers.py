"""RabbitMQ and ActiveMQ as processes of their own, which can be killed and started again with what they keep."""

import base64
import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.pollers.server_process import ServerProcess, listens
from tests.ports import free_port

USER, PASSWORD = "poller", "p:ss %wörd"
STRANGER = "stranger"
"""A user who may read nothing, with the same password."""
_ACTIVEMQ = """<beans xmlns="http://www.springframework.org/schema/beans"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.springframework.org/schema/beans
    http://www.springframework.org/schema/beans/spring-beans-2.0.xsd
    http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" useJmx="false" brokerName="tests"
      dataDirectory="{folder}/data">
    <plugins>
      <simpleAuthenticationPlugin><users>
        <authenticationUser username="{user}" password="{password}" groups="readers"/>
        <authenticationUser username="{stranger}" password="{password}" groups="strangers"/>
      </users></simpleAuthenticationPlugin>
      <authorizationPlugin><map><authorizationMap><authorizationEntries>
        <authorizationEntry queue=">" read="readers" write="readers" admin="readers"/>
        <authorizationEntry topic=">" read="readers,strangers" write="readers,strangers" admin="readers,strangers"/>
      </authorizationEntries></authorizationMap></map></authorizationPlugin>
    </plugins>
    <persistenceAdapter><kahaDB directory="{folder}/data/kahadb"/></persistenceAdapter>
    <sslContext>
      <sslContext keyStore="file:{folder}/keys.p12" keyStorePassword="secret" keyStoreType="PKCS12"/>
    </sslContext>
    <transportConnectors>
      <transportConnector name="stomp" uri="stomp://127.0.0.1:{port}"/>
      <transportConnector name="stomp+ssl" uri="stomp+ssl://127.0.0.1:{tls_port}"/>
    </transportConnectors>
  </broker>
</beans>
"""


class Broker(ServerProcess):
    """A broker with a certificate of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.tls_port = free_port()
        self.certificate = _certificate(folder)
        """Signed by itself, PEM."""

    def _answers(self) -> bool:
        """Its ports open one after the other."""
        return super()._answers() and listens(self.tls_port)


class RabbitMq(Broker):
    """Debian's RabbitMQ, with a virtual host beside the root."""

    virtual_host = "shop/eu"
    _server = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        _require(self._server)
        self._distribution, self._names = free_port(), free_port()
        self._epmd: subprocess.Popen[bytes] | None = None
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nloopback_users = none\nload_definitions = {folder}/definitions\n"
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\nssl_options.verify = verify_none\n"
            f"ssl_options.certfile = {folder}/certificate.pem\nssl_options.keyfile = {folder}/key.pem\n"
        )
        (folder / "definitions").write_text(json.dumps(self._definitions()))

    def start(self) -> None:
        """The daemon that knows the names of Erlang's nodes too: one of our own, which ends with the tests."""
        if self._epmd is None:
            self._epmd = subprocess.Popen(["epmd", "-port", str(self._names)], stdout=subprocess.DEVNULL)
        super().start()

    def close(self) -> None:
        """Ends everything."""
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()

    def _command(self) -> tuple[list[str], Mapping[str, str]]:
        return [str(self._server)], {
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"tests{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": f"{self.folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{self.folder}/log",
            "RABBITMQ_CONFIG_FILE": f"{self.folder}/rabbitmq",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{self.folder}/plugins",
            "RABBITMQ_PID_FILE": f"{self.folder}/pid",
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "ERL_EPMD_PORT": str(self._names),
        }

    def _definitions(self) -> dict[str, Any]:
        salt = b"salt"
        digest = base64.b64encode(salt + hashlib.sha256(salt + PASSWORD.encode()).digest()).decode()
        hosts = ["/", self.virtual_host]
        return {
            "users": [{"name": name, "password_hash": digest, "tags": ""} for name in (USER, STRANGER)],
            "vhosts": [{"name": host} for host in hosts],
            "permissions": [
                {"user": user, "vhost": host, "configure": what, "write": what, "read": what}
                for user, what in ((USER, ".*"), (STRANGER, ""))
                for host in hosts
            ],
        }


class ActiveMq(Broker):
    """Debian's ActiveMQ, which speaks STOMP."""

    _server = Path("/usr/share/activemq/bin/activemq.jar")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        _require(self._server)
        (folder / "activemq.xml").write_text(
            _ACTIVEMQ.format(
                folder=folder,
                port=self.port,
                tls_port=self.tls_port,
                user=USER,
                password=PASSWORD,
                stranger=STRANGER,
            )
        )
        both = ["-inkey", str(folder / "key.pem"), "-in", str(folder / "certificate.pem")]
        out = ["-out", str(folder / "keys.p12"), "-passout", "pass:secret"]
        subprocess.run(["openssl", "pkcs12", "-export", *both, *out], check=True, capture_output=True)

    def close(self) -> None:
        """Ends it."""
        self.kill()

    def _command(self) -> tuple[list[str], Mapping[str, str]]:
        options = [f"-Dactivemq.{name}={self.folder}" for name in ("base", "conf", "data")]
        jar = ["-jar", str(self._server), "start", f"xbean:file:{self.folder}/activemq.xml"]
        return ["java", "-Xmx192m", "-Dactivemq.home=/usr/share/activemq", *options, *jar], {}


def _certificate(folder: Path) -> str:
    made = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    what = ["-subj", "/CN=broker", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run([*command, *made, *what], check=True, capture_output=True)
    return (folder / "certificate.pem").read_text()


def _require(server: Path) -> None:
    if not server.exists():
        pytest.fail(f"there is no {server}: `make brokers` installs it")
