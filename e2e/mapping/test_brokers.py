"""Queues of RabbitMQ and of ActiveMQ invoke functions on the real cluster (§7.6): the examples as they stand."""

import json
from pathlib import Path

from installation.account import Account
from installation.kubectl import eventually, kubectl
from mapping.brokers import RabbitPages, broker, send_by_stomp, until_polled

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
ORDERS = [json.dumps({"kind": "order", "number": number}) for number in range(30)]


def apply(account: Account, example: str) -> None:
    """An example, with the broker where it is here."""
    text = (EXAMPLES / example).read_text().replace(".default.svc", f".{account.namespace}.svc")
    kubectl("--namespace", account.namespace, "apply", "--filename", "-", stdin=text)


def printed(account: Account, function: str) -> str:
    """What the environments of a function have written."""
    selector = f"kubelambda.dev/function={function}"
    # kubectl refuses as long as one of them is only about to start.
    logs = ("--namespace", account.namespace, "logs", "--selector", selector, "--tail=-1")
    return eventually(lambda: [kubectl(*logs)])[0]


def all_printed(account: Account, function: str, queue: str) -> bool:
    """Whether each order was seen, by one look."""
    found = printed(account, function)
    return all(f"{queue} {body}" in found for body in ORDERS)


def test_a_queue_of_rabbitmq_invokes_a_function(account: Account) -> None:
    """`examples/rabbitmq.yaml`: each order is seen and the queue empty then; what no filter wants is gone."""
    with broker(account, "rabbitmq", 5672, 15672) as address:
        pages = RabbitPages(address)
        pages.make("orders")
        for body in [*ORDERS, '{"kind": "other"}']:
            pages.send("orders", body)
        apply(account, "rabbitmq.yaml")
        until_polled(account, "rabbit-orders")
        eventually(lambda: all_printed(account, "rabbit-orders", "orders::/"))
        eventually(lambda: pages.left("orders") == [])
        assert "other" not in printed(account, "rabbit-orders")

        def result() -> bool:
            status = account.get("eventsourcemapping", "rabbit-orders")["status"]
            return (status["state"], status.get("lastProcessingResult")) == ("Enabled", "OK")

        eventually(result)


def test_a_queue_of_activemq_invokes_a_function(account: Account) -> None:
    """`examples/activemq.yaml`: what comes while it is polled is seen."""
    with broker(account, "activemq", 61613, 61613) as address:
        apply(account, "activemq.yaml")
        until_polled(account, "active-orders")
        send_by_stomp(address, "orders", *ORDERS)
        eventually(lambda: all_printed(account, "active-orders", "orders"))
