"""Members of an `EventSourceMapping` that only brokers of MQ have: the queue, and who we are there (§7.6)."""

from typing import Annotated

from pydantic import Field

from kubelambda.api.kinds.stream_members import SOURCE_ARN
from kubelambda.api.model import Model
from kubelambda.api.validations import fixed, rule

_BROKER = "^arn:[a-zA-Z0-9-]+:mq:[a-z0-9-]+:[0-9]{12}:broker:[a-zA-Z0-9_-]{1,50}:[a-zA-Z0-9-]{1,100}$"
IS_BROKER = f"{SOURCE_ARN}.matches('{_BROKER}')"
"""CEL: whether a mapping's source is a broker of MQ."""
_ACCESS = "(has(self.sourceAccessConfigurations) ? self.sourceAccessConfigurations : [])"
_TYPES = "['BASIC_AUTH', 'VIRTUAL_HOST', 'SERVER_ROOT_CA_CERTIFICATE']"
_ENDPOINT = "(has(self.connection) && has(self.connection.endpointUrl) ? self.connection.endpointUrl : '')"

MQ_RULES = (
    rule(
        f"!{IS_BROKER} || (has(self.queues) && self.queues.size() == 1)",
        "a mapping of a broker reads exactly one queue: queues",
        fieldPath=".queues",
    ),
    rule(f"{IS_BROKER} || !has(self.queues)", "queues is of brokers of MQ only", fieldPath=".queues"),
    fixed("queues", "the queue"),
    rule(
        f"!{IS_BROKER} || {_ACCESS}.exists_one(each, each.type == 'BASIC_AUTH')",
        "a broker knows us by one user: BASIC_AUTH in sourceAccessConfigurations names a Secret with username and "
        "password",
        fieldPath=".sourceAccessConfigurations",
    ),
    rule(
        f"!{IS_BROKER} || {_ACCESS}.all(each, each.type in {_TYPES})",
        "of a broker sourceAccessConfigurations has BASIC_AUTH, VIRTUAL_HOST and SERVER_ROOT_CA_CERTIFICATE only",
        fieldPath=".sourceAccessConfigurations",
    ),
    *(
        rule(
            f"!{IS_BROKER} || {_ACCESS}.filter(each, each.type == '{kind}').size() <= 1",
            f"sourceAccessConfigurations has {kind} once at most",
            fieldPath=".sourceAccessConfigurations",
        )
        for kind in ("VIRTUAL_HOST", "SERVER_ROOT_CA_CERTIFICATE")
    ),
    rule(
        f"!{IS_BROKER} || !{_ENDPOINT}.startsWith('stomp') || !{_ACCESS}.exists(each, each.type == 'VIRTUAL_HOST')",
        "VIRTUAL_HOST is of RabbitMQ only, whose endpointUrl is amqp://… or amqps://…",
        fieldPath=".sourceAccessConfigurations",
    ),
    rule(
        f"{_ENDPOINT} == '' || {IS_BROKER} != {_ENDPOINT}.startsWith('http')",
        "connection.endpointUrl is amqp://…, amqps://…, stomp://… or stomp+ssl://… of a broker of MQ, and http://… or "
        "https://… of any other source",
        fieldPath=".connection",
    ),
    rule(
        f"!{IS_BROKER} || !has(self.functionResponseTypes) || self.functionResponseTypes.size() == 0",
        "functionResponseTypes is not for brokers of MQ: a batch fails as a whole",
        fieldPath=".functionResponseTypes",
    ),
    rule(
        f"!{IS_BROKER} || !has(self.scalingConfig)",
        "scalingConfig is of queues of SQS: a broker has 5 batches of ActiveMQ and 1 of RabbitMQ at a function at once",
        fieldPath=".scalingConfig",
    ),
)


class MqMembers(Model):
    """What brokers of MQ have beside the members of every source."""

    queues: (
        Annotated[list[Annotated[str, Field(min_length=1, max_length=1000)]], Field(min_length=1, max_length=1)] | None
    ) = None
    """Of brokers of MQ: the queue."""
