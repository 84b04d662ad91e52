"""The `Function` custom resource: spec as people write it, status as the operator reports it (§1.3, §1.4)."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from kubelambda.api import limits
from kubelambda.api.conditions import Condition
from kubelambda.api.kinds.deployed_configuration import DeployedConfiguration
from kubelambda.api.kinds.environment_variables import EnvironmentVariables
from kubelambda.api.kinds.event_invoke_config import DeadLetterConfig, EventInvokeConfig
from kubelambda.api.kinds.function_code import Code
from kubelambda.api.kinds.function_image import ImageConfig
from kubelambda.api.kinds.function_mounts import FileSystemConfig, LayerVersionName
from kubelambda.api.kinds.function_permission import Permission
from kubelambda.api.kinds.function_url import FunctionUrl
from kubelambda.api.kinds.vpc_config import VpcConfig
from kubelambda.api.model import Model
from kubelambda.api.validations import not_served, rule, rules


class PackageType(StrEnum):
    """How the code is packaged. Immutable."""

    ZIP = "Zip"
    IMAGE = "Image"


class State(StrEnum):
    """Whether the function can be invoked (§1.4.1)."""

    PENDING = "Pending"
    ACTIVE = "Active"
    FAILED = "Failed"
    INACTIVE = "Inactive"


class LastUpdateStatus(StrEnum):
    """How the last change of code or configuration went (§1.4.1)."""

    IN_PROGRESS = "InProgress"
    SUCCESSFUL = "Successful"
    FAILED = "Failed"


class EphemeralStorage(Model):
    """The size of /tmp."""

    size: Annotated[int, Field(ge=limits.EPHEMERAL_STORAGE_MIN_MB, le=limits.EPHEMERAL_STORAGE_MAX_MB)] = (
        limits.EPHEMERAL_STORAGE_MIN_MB
    )
    """In MB."""


class LoggingConfig(Model):
    """Format and destination of the logs."""

    model_config = ConfigDict(json_schema_extra=rules(not_served("logFormat", unless="self.logFormat == 'Text'")))

    log_format: Literal["Text", "JSON"] = "Text"
    """Format of the platform's lines."""
    log_group: Annotated[str, Field(pattern=r"^[\.\-_/#A-Za-z0-9]+$", max_length=512)] | None = None
    """Log group; /aws/lambda/<name> unless given."""


class TracingConfig(Model):
    """X-Ray tracing."""

    mode: Literal["PassThrough", "Active"] = "PassThrough"
    """Whether the platform samples by itself."""


class SnapStart(Model):
    """Snapshots of initialized environments."""

    apply_on: Literal["None", "PublishedVersions"] = "None"
    """When snapshots are taken."""


class FunctionSpec(Model):
    """What people write. Field names, ranges and defaults are those of the Lambda API (§1.3)."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.packageType != 'Zip' || (has(self.runtime) && has(self.handler))",
                "runtime and handler are required when packageType is Zip",
            ),
            rule(
                "self.packageType != 'Image' || (!has(self.runtime) && !has(self.handler))",
                "runtime and handler are not allowed when packageType is Image",
            ),
            rule(
                "has(self.code.imageUri) == (self.packageType == 'Image')",
                "code.imageUri and packageType Image belong together: give both or neither",
            ),
            rule(
                "!has(oldSelf.packageType) || self.packageType == oldSelf.packageType", "packageType cannot be changed"
            ),
            rule(
                "(has(self.functionName) ? self.functionName : '') == "
                "(has(oldSelf.functionName) ? oldSelf.functionName : '')",
                "functionName cannot be changed",
            ),
            rule(
                "self.packageType != 'Image' || !has(self.layers) || self.layers.size() == 0",
                "Layers are not supported for functions with packageType Image.",
                fieldPath=".layers",
            ),
            rule(
                "self.packageType != 'Image' || !has(self.codeSigningConfigArn)",
                "Code signing is not supported for functions with packageType Image.",
                fieldPath=".codeSigningConfigArn",
            ),
            rule("self.packageType == 'Image' || !has(self.imageConfig)", "imageConfig needs packageType Image"),
            rule(
                f"!has(self.layers) || self.layers.size() <= {limits.LAYERS_MAX}",
                f"Cannot reference more than {limits.LAYERS_MAX} layers.",
                fieldPath=".layers",
            ),
            not_served("architectures", unless="self.architectures.all(name, name == 'x86_64')"),
            not_served("tracingConfig", unless="self.tracingConfig.mode == 'PassThrough'"),
            not_served("snapStart", unless="self.snapStart.applyOn == 'None'"),
        )
    )

    function_name: Annotated[str, Field(pattern="^[a-zA-Z0-9_-]+$", min_length=1, max_length=64)] | None = None
    """Lambda's name, where that is no name of a Kubernetes object (My_Function); cannot be changed."""
    role: Annotated[str, Field(max_length=2048)] | None = None
    """ARN of an execution role, for the control API to answer; it grants nothing here."""
    tags: Annotated[dict[str, Annotated[str, Field(max_length=256)]], Field(max_length=50)] = {}
    """Tags, for people and for the control API."""
    permissions: Annotated[list[Permission], Field(max_length=256)] = []
    """The resource policy."""
    description: Annotated[str, Field(max_length=limits.DESCRIPTION_MAX_CHARS)] = ""
    """What the function is for."""
    package_type: PackageType = PackageType.ZIP
    """Zip or Image; cannot be changed."""
    runtime: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=63)] | None = None
    """Name of a Runtime, such as python3.13."""
    handler: Annotated[str, Field(pattern=r"^[^\s]+$", max_length=limits.HANDLER_MAX_CHARS)] | None = None
    """Entry point, as the runtime reads it: index.handler."""
    code: Code
    """Where the code comes from."""
    image_config: ImageConfig | None = None
    """What replaces the settings of a container image."""
    memory_size: Annotated[int, Field(ge=limits.MEMORY_MIN_MB, le=limits.MEMORY_MAX_MB)] = limits.MEMORY_MIN_MB
    """In MB. The CPU follows it: one vCPU per 1769 MB."""
    timeout: Annotated[int, Field(ge=limits.TIMEOUT_MIN_S, le=limits.TIMEOUT_MAX_S)] = limits.TIMEOUT_DEFAULT_S
    """In seconds, for each invocation."""
    ephemeral_storage: EphemeralStorage = EphemeralStorage()
    """Size of /tmp."""
    environment: EnvironmentVariables = EnvironmentVariables()
    """Environment variables."""
    reserved_concurrent_executions: Annotated[int, Field(ge=0)] | None = None
    """Concurrency that is both guaranteed and the ceiling; 0 stops the function (§5.2)."""
    logging_config: LoggingConfig = LoggingConfig()
    """Logs."""
    layers: Annotated[list[LayerVersionName], Field(max_length=50)] = []
    """Layer versions, merged into /opt in order: at most 5, as `numpy:2` or as an ARN."""
    architectures: Annotated[list[Literal["x86_64", "arm64"]], Field(min_length=1, max_length=1)] | None = None
    """Processor architecture."""
    vpc_config: VpcConfig | None = None
    """Network of the environments."""
    file_system_configs: Annotated[list[FileSystemConfig], Field(max_length=1)] = []
    """File systems."""
    dead_letter_config: DeadLetterConfig | None = None
    """Dead-letter queue of asynchronous invocations."""
    code_signing_config_arn: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """CodeSigningConfig that new code and new layers must satisfy: its name, or its ARN."""
    tracing_config: TracingConfig = TracingConfig()
    """Tracing."""
    snap_start: SnapStart = SnapStart()
    """Snapshots."""
    event_invoke_config: EventInvokeConfig | None = None
    """Asynchronous invocation of $LATEST; aliases and versions have their own."""
    recursive_loop: Literal["Terminate", "Allow"] = "Terminate"
    """Whether a chain of invocations ends that has come back to the function 16 times (§6.8)."""
    url: FunctionUrl | None = None
    """HTTP address of the unqualified function."""
    publish: bool = False
    """Whether each change of code or configuration publishes a version."""
    version_retention: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Versions to keep, the newest ones; those that an alias uses stay in any case. Absent: all."""


class Publication(Model):
    """The last version that was published."""

    model_config = ConfigDict(extra="ignore")

    version: int
    """Its number: no version ever gets this one or a lower one again."""
    fingerprint: str
    """Digest of what was published: publishing the same again gives the same version."""


class FunctionStatus(Model):
    """What the operator reports."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    state: State | None = None
    """Whether the function can be invoked."""
    state_reason: str | None = None
    """Why, for people."""
    state_reason_code: str | None = None
    """Why, for programs (§1.4.6)."""
    last_update_status: LastUpdateStatus | None = None
    """How the last change went."""
    last_update_status_reason: str | None = None
    """Why, for people."""
    last_update_status_reason_code: str | None = None
    """Why, for programs."""
    last_modified: str | None = None
    """When the deployed configuration last changed."""
    function_arn: str | None = None
    """Unqualified ARN."""
    function_url: str | None = None
    """Its HTTP address, of one with `url`."""
    code_size: int | None = None
    """Size of the deployed archive in bytes."""
    code_sha256: str | None = None
    """Base64 SHA-256 of the deployed archive, as Lambda writes it."""
    reserved_concurrent_executions: int | None = None
    """Reserved concurrency that the account granted."""
    deployed: DeployedConfiguration | None = None
    """What environments run now."""
    last_published: Publication | None = None
    """The last version that was published."""
    conditions: Annotated[
        list[Condition],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = []
    """Ready, RuntimeReady, CodeReady, ConcurrencyGranted; DestinationsReady where destinations name EventTargets;
    Reconciling or Stalled while one of them holds."""
