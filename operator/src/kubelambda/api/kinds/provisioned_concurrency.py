"""Provisioned concurrency: environments that wait, initialized, for one alias or version (§5.4-5.8, §8)."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from kubelambda.api.model import Model
from kubelambda.api.validations import rule, rules

Executions = Annotated[int, Field(ge=0, le=1_000_000)]


class ProvisionedConcurrencyState(StrEnum):
    """How far the provisioned environments are, in Lambda's words (§5.5)."""

    IN_PROGRESS = "IN_PROGRESS"
    READY = "READY"
    FAILED = "FAILED"


class TargetTracking(Model):
    """Follows the utilization of the provisioned environments (§8.2)."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.minCapacity <= self.maxCapacity", "minCapacity is more than maxCapacity", fieldPath=".maxCapacity"
            )
        )
    )

    target_value: Annotated[float, Field(ge=0.1, le=0.9)]
    """Utilization to keep, as a fraction."""
    min_capacity: Executions
    """Environments at least."""
    max_capacity: Annotated[int, Field(ge=1, le=1_000_000)]
    """Environments at most."""
    scale_out_cooldown: Annotated[int, Field(ge=0, le=86_400)] = 0
    """Seconds after a scale-out in which only a larger breach adds the difference."""
    scale_in_cooldown: Annotated[int, Field(ge=0, le=86_400)] = 0
    """Seconds after a scale-in before the next one."""
    disable_scale_in: bool = False
    """Whether it only ever adds environments."""


class ScheduledAction(Model):
    """Sets the bounds of the capacity at certain times (§8.8)."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.minCapacity) || has(self.maxCapacity)", "give at least one of minCapacity and maxCapacity"),
            rule(
                "!has(self.minCapacity) || !has(self.maxCapacity) || self.minCapacity <= self.maxCapacity",
                "minCapacity is more than maxCapacity",
                fieldPath=".maxCapacity",
            ),
        )
    )

    name: Annotated[str, Field(min_length=1, max_length=256)]
    """What the action is called in events."""
    schedule: Annotated[str, Field(pattern=r"^(at|rate|cron)\(.+\)$", max_length=1600)]
    """`at(2027-01-01T08:00:00)`, `rate(5 minutes)` or `cron(0 8 ? * MON-FRI *)`."""
    timezone: Annotated[str, Field(min_length=1, max_length=64)] = "UTC"
    """Time zone of the schedule, as Europe/Berlin."""
    min_capacity: Executions | None = None
    """Environments at least from then on."""
    max_capacity: Executions | None = None
    """Environments at most from then on."""


class SuspendedState(Model):
    """What the scaler does not do for now (§8.1)."""

    dynamic_scaling_in_suspended: bool = False
    """No removal by target tracking."""
    dynamic_scaling_out_suspended: bool = False
    """No addition by target tracking."""
    scheduled_scaling_suspended: bool = False
    """No scheduled action."""


class VersionProvisionedConcurrency(Model):
    """Provisioned concurrency of a version: a fixed number."""

    provisioned_concurrent_executions: Executions
    """Environments to keep initialized."""


class AliasProvisionedConcurrency(Model):
    """Provisioned concurrency of an alias: a fixed number, or one that follows utilization and schedules."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.provisionedConcurrentExecutions) || has(self.targetTracking) "
                "|| self.scheduledActions.size() > 0",
                "give provisionedConcurrentExecutions, targetTracking or scheduledActions",
            )
        )
    )

    provisioned_concurrent_executions: Executions | None = None
    """Environments to keep initialized; with targetTracking or scheduledActions the number that scaling begins with."""
    target_tracking: TargetTracking | None = None
    """Follows utilization."""
    scheduled_actions: Annotated[list[ScheduledAction], Field(max_length=20)] = []
    """Changes of the bounds at certain times."""
    suspended_state: SuspendedState = SuspendedState()
    """What the scaler does not do for now."""
    progress_deadline_seconds: Annotated[int, Field(ge=1, le=86_400)] = 600
    """After this long without all environments of a new version, the alias says so; the old version still serves."""


class ScalingState(Model):
    """What the scaler remembers of an alias. Times are RFC 3339."""

    model_config = ConfigDict(extra="ignore")

    capacity: int
    """Environments that it asks for now."""
    specified: int | None = None
    """The spec's number when it did: another one sets the capacity anew."""
    specified_bounds: Annotated[list[int], Field(max_length=2)] = []
    """The spec's bounds when a scheduled action last changed them: other ones are in force again."""
    min_capacity: int | None = None
    """Environments at least, by the last scheduled action."""
    max_capacity: int | None = None
    """Environments at most, by the last scheduled action."""
    scheduled_at: str | None = None
    """When a scheduled action was last due."""
    scaled_out_at: str | None = None
    """When it last added environments."""
    scaled_out_from: int | None = None
    """Environments before that."""
    scaled_in_at: str | None = None
    """When it last removed environments."""


class ProvisionedConcurrencyStatus(Model):
    """What is asked for, granted, and there (§5.5)."""

    model_config = ConfigDict(extra="ignore")

    requested: int
    """Environments that the spec or the scaler asks for."""
    allocated: int = 0
    """Environments that the function's reservation and its account grant, and that are started or being started."""
    available: int = 0
    """Environments that are initialized and take invocations."""
    status: ProvisionedConcurrencyState
    """Whether all of them are available."""
    status_reason: str = ""
    """Why not, in Lambda's words."""
    init_error: str = ""
    """What the first INIT said that failed since the last change."""
    last_modified: str | None = None
    """When `requested` last changed."""
