"""Retries and destinations of asynchronous invocations, as functions, versions and aliases have them (§6.5)."""

from typing import Annotated

from pydantic import ConfigDict, Field

from kubelambda.api.model import Model
from kubelambda.api.validations import rule, rules

_PLACE = r"arn:aws[a-z-]*:%s:[a-z0-9-]+:[0-9]{12}:"
_DESTINATIONS = (
    _PLACE % "lambda" + r"function:[a-zA-Z0-9_-]+(:([$]LATEST|[a-zA-Z0-9_-]+))?",
    _PLACE % "sqs" + r"[a-zA-Z0-9_-]{1,80}",
    _PLACE % "sns" + r"[a-zA-Z0-9_-]{1,256}",
    _PLACE % "events" + r"event-bus/[a-zA-Z0-9._/-]{1,256}",
    r"arn:aws[a-z-]*:s3:::[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
    r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
)
EVENT_DESTINATION = "|".join(_DESTINATIONS)
"""Pattern of what takes the record of an event."""


class EventDestination(Model):
    """Where the record of an event goes."""

    destination: Annotated[str, Field(pattern=f"^({EVENT_DESTINATION})$", max_length=512)]
    """ARN of a function, a standard queue or topic, an event bus or a bucket; or the name of an EventTarget."""


class DestinationConfig(Model):
    """Who is told how events ended (§6.7)."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.onSuccess) || !self.onSuccess.destination.matches('^arn:[a-z-]+:s3:')",
                "a bucket is a destination for failures only",
                fieldPath=".onSuccess",
            )
        )
    )

    on_success: EventDestination | None = None
    """Of events that were processed."""
    on_failure: EventDestination | None = None
    """Of events that were given up."""


class EventInvokeConfig(Model):
    """Retries and destinations of asynchronous invocations. One for each qualifier, and none inherits from another."""

    maximum_retry_attempts: Annotated[int, Field(ge=0, le=2)] | None = None
    """Retries after a function error; 2 unless given."""
    maximum_event_age_in_seconds: Annotated[int, Field(ge=60, le=21_600)] | None = None
    """Age after which an event is dropped; 21600 unless given."""
    destination_config: DestinationConfig = DestinationConfig()
    """Destinations."""


class DeadLetterConfig(Model):
    """Where asynchronous events go that could not be processed (§6.6)."""

    target_arn: Annotated[
        str, Field(pattern=r"^arn:aws[a-z-]*:(sqs|sns):[a-z0-9-]+:[0-9]{12}:[a-zA-Z0-9_-]{1,256}$", max_length=512)
    ]
    """ARN of a standard queue or topic."""
