"""Where the queue of a broker is and who we are there, out of what a mapping says of it (§7.6)."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

ROOT_HOST: Final = "/"
"""The virtual host of RabbitMQ that there always is."""
_PORTS: Final = {"amqp": 5672, "amqps": 5671, "stomp": 61613, "stomp+ssl": 61614}


class BrokerEngine(StrEnum):
    """What brokers there are."""

    RABBITMQ = "RabbitMQ"
    """AMQP 0-9-1."""
    ACTIVEMQ = "ActiveMQ"
    """STOMP."""


@dataclass(frozen=True, slots=True)
class MqPlace:
    """One queue of one broker."""

    engine: BrokerEngine
    host: str
    port: int
    tls: bool
    queue: str
    virtual_host: str = ROOT_HOST
    """Of RabbitMQ."""
    login_secret: str = ""
    """Secret with `username` and `password`."""
    authority_secret: str | None = None
    """Secret with the certificate of who signed the broker's; those that the system trusts unless given."""


def mq_place(arn: str, queue: str, endpoint_url: str | None, access: dict[str, str]) -> MqPlace:
    """The place of a queue; `access` has the URI of each type of access.

    Without an endpoint it is AWS's own of the broker that the ARN names, with RabbitMQ if there is a virtual host.
    """
    host = access.get("VIRTUAL_HOST")
    url = urlsplit(endpoint_url or _managed(arn, rabbitmq=host is not None))
    engine = BrokerEngine.RABBITMQ if url.scheme.startswith("amqp") else BrokerEngine.ACTIVEMQ
    authority = access.get("SERVER_ROOT_CA_CERTIFICATE")
    return MqPlace(
        engine=engine,
        host=url.hostname or "",
        port=url.port or _PORTS[url.scheme],
        tls=url.scheme in ("amqps", "stomp+ssl"),
        queue=queue,
        virtual_host=host or ROOT_HOST,
        login_secret=secret_name(access.get("BASIC_AUTH", "")),
        authority_secret=secret_name(authority) if authority else None,
    )


def secret_name(uri: str) -> str:
    """The Secret that a URI of a source's access names: itself, or that of a Secrets Manager's ARN."""
    found = re.fullmatch(r"arn:[a-z0-9-]+:secretsmanager:[a-z0-9-]*:[0-9]*:secret:(.+)", uri)
    return re.sub(r"-[A-Za-z0-9]{6}$", "", found[1]) if found else uri


def _managed(arn: str, *, rabbitmq: bool) -> str:
    region, broker = arn.split(":")[3], arn.rpartition(":")[2]
    domain = f"mq.{region}.amazonaws.com"
    return f"amqps://{broker}.{domain}" if rabbitmq else f"stomp+ssl://{broker}-1.{domain}"
