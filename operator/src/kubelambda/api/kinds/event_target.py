"""The `EventTarget` custom resource: where what an ARN names is, on clusters that are not AWS, or an HTTP sink."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from kubelambda.api.kinds.function_code import ObjectName
from kubelambda.api.model import Model
from kubelambda.api.validations import rule, rules

TargetService = Literal["sqs", "sns", "events", "s3", "kinesis", "dynamodb"]


class TargetCredentials(Model):
    """A Secret in the target's namespace."""

    name: ObjectName
    """Its name."""


class AwsTarget(Model):
    """Services of AWS, or servers that speak their protocols."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.arn) != (has(self.services) && self.services.size() > 0)", "give either arn or services")
        )
    )

    arn: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:(sqs|sns|events|s3):[^ ]+$", max_length=512)] | None = None
    """The one thing that is there: destinations name it by this ARN or by the target's name."""
    services: Annotated[list[TargetService], Field(max_length=6)] = []
    """Whatever an ARN of these services names is there, unless another target has that very ARN."""
    endpoint_url: Annotated[str, Field(pattern="^https?://[^/]+", max_length=2048)] | None = None
    """Base address; AWS's own in the ARN's region unless given."""
    credentials_secret: TargetCredentials | None = None
    """Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if needed, AWS_SESSION_TOKEN; that of the namespace's
    annotation kubelambda.dev/credentials-secret unless given."""


class HttpTarget(Model):
    """A sink that takes records as CloudEvents, by POST, in structured mode."""

    url: Annotated[str, Field(pattern="^https?://[^/]+", max_length=2048)]
    """Its address."""
    bearer_token_secret: TargetCredentials | None = None
    """Secret with a key `token`, which every request then carries."""


class EventTargetSpec(Model):
    """What people write."""

    model_config = ConfigDict(
        json_schema_extra=rules(rule("has(self.aws) != has(self.http)", "give either aws or http"))
    )

    aws: AwsTarget | None = None
    """A service of AWS, or what speaks its protocol."""
    http: HttpTarget | None = None
    """A sink for CloudEvents."""


class EventTargetStatus(Model):
    """Nothing is reported: whether records arrive, the metrics of the event queue say."""
