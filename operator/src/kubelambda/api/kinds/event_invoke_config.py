"""Retries and destinations of asynchronous invocations, as functions have them (§6.5)."""

from typing import Annotated

from pydantic import Field

from kubelambda.api.model import Model


class EventDestination(Model):
    """Where the record of an event goes."""

    destination: Annotated[
        str, Field(pattern=r"^arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:[a-zA-Z0-9-_]+(:[a-zA-Z0-9-_]+)?$")
    ]
    """ARN of a function of the same account; other services are not served by this release of kubelambda."""


class DestinationConfig(Model):
    """Who is told how events ended (§6.7)."""

    on_success: EventDestination | None = None
    """Of events that were processed."""
    on_failure: EventDestination | None = None
    """Of events that were given up."""


class EventInvokeConfig(Model):
    """Retries and destinations of asynchronous invocations."""

    maximum_retry_attempts: Annotated[int, Field(ge=0, le=2)] = 2
    """Retries after a function error."""
    maximum_event_age_in_seconds: Annotated[int, Field(ge=60, le=21_600)] = 21_600
    """Age after which an event is dropped."""
    destination_config: DestinationConfig = DestinationConfig()
    """Destinations."""
