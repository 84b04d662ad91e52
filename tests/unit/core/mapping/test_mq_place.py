"""Where the queue of a broker is, out of what a mapping says (§7.6)."""

import pytest

from kubelambda.core.mapping.mq_place import BrokerEngine, MqPlace, mq_place, secret_name

ARN = "arn:aws:mq:us-east-2:123456789012:broker:shop:b-1234"


@pytest.mark.parametrize(
    ("url", "engine", "host", "port", "tls"),
    [
        ("amqp://rabbit.shop.svc", BrokerEngine.RABBITMQ, "rabbit.shop.svc", 5672, False),
        ("amqps://rabbit:1", BrokerEngine.RABBITMQ, "rabbit", 1, True),
        ("stomp://active", BrokerEngine.ACTIVEMQ, "active", 61613, False),
        ("stomp+ssl://[::1]", BrokerEngine.ACTIVEMQ, "::1", 61614, True),
    ],
)
def test_an_endpoint_says_what_speaks_there(url: str, engine: BrokerEngine, host: str, port: int, tls: bool) -> None:
    """With the port that its protocol has."""
    place = mq_place(ARN, "orders", url, {"BASIC_AUTH": "login"})
    assert (place.engine, place.host, place.port, place.tls) == (engine, host, port, tls)
    assert (place.queue, place.virtual_host, place.login_secret) == ("orders", "/", "login")


def test_without_an_endpoint_it_is_awss_own() -> None:
    """Whose ARN does not say which engine it is: a virtual host has RabbitMQ only."""
    rabbit = mq_place(ARN, "orders", None, {"BASIC_AUTH": "login", "VIRTUAL_HOST": "shop"})
    assert (rabbit.host, rabbit.port, rabbit.virtual_host) == ("b-1234.mq.us-east-2.amazonaws.com", 5671, "shop")
    active: MqPlace = mq_place(ARN, "orders", None, {"BASIC_AUTH": "login", "SERVER_ROOT_CA_CERTIFICATE": "ca"})
    assert (active.host, active.port, active.tls) == ("b-1234-1.mq.us-east-2.amazonaws.com", 61614, True)
    assert active.authority_secret == "ca"


def test_an_arn_of_a_secret_names_a_secret() -> None:
    """Without the six characters that Secrets Manager adds."""
    assert secret_name("arn:aws:secretsmanager:us-east-1:123456789012:secret:mq-login-AbC123") == "mq-login"
    assert secret_name("mq-login") == "mq-login"
