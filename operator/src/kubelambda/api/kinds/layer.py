"""The `Layer` and `LayerVersion` custom resources: archives that functions share, published as numbered versions."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from kubelambda.api import limits
from kubelambda.api.conditions import Condition
from kubelambda.api.kinds.function_code import ArchiveSource, ConfigMapCode, archive_rules
from kubelambda.api.model import Model
from kubelambda.api.validations import rule, rules

CONTENT_SOURCES = ("zipFile", "configMapRef", "url", "stored", "s3Bucket", "oci")
Runtimes = Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=15)]
Architectures = Annotated[list[Literal["x86_64", "arm64"]], Field(max_length=2)]
Conditions = Annotated[
    list[Condition],
    Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
]


class LayerContent(ArchiveSource):
    """Where the archive comes from: exactly one source."""

    model_config = ConfigDict(json_schema_extra=archive_rules("content", CONTENT_SOURCES))

    config_map_ref: ConfigMapCode | None = None
    """A key of a ConfigMap with a zip archive under `binaryData`; a change of it is published within about a minute."""


class LayerPermission(Model):
    """One statement of a version's resource policy, as AddLayerVersionPermission takes it."""

    version: Annotated[int, Field(ge=1)]
    """The version that it is about."""
    statement_id: Annotated[str, Field(pattern="^[a-zA-Z0-9-_]+$", min_length=1, max_length=100)]
    """Names the statement within the policy of the version."""
    action: Literal["lambda:GetLayerVersion"] = "lambda:GetLayerVersion"
    """What is allowed."""
    principal: Annotated[str, Field(min_length=1, max_length=256)]
    """Who is allowed: an account, or * for all."""
    principal_org_id: Annotated[str, Field(pattern="^o-[a-z0-9]{10,32}$", max_length=34)] | None = None
    """Only if of that organization."""


class LayerSpec(Model):
    """What people write: every change that makes another version publishes one."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "(has(self.layerName) ? self.layerName : '') == (has(oldSelf.layerName) ? oldSelf.layerName : '')",
                "layerName cannot be changed",
            ),
        )
    )

    layer_name: Annotated[str, Field(pattern="^[a-zA-Z0-9_-]+$", min_length=1, max_length=140)] | None = None
    """Lambda's name, where that is no name of a Kubernetes object (My_Layer); cannot be changed."""
    revision: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Any text: another one publishes another version though nothing else changed."""
    permissions: Annotated[list[LayerPermission], Field(max_length=256)] = []
    """The resource policies of its versions."""
    description: Annotated[str, Field(max_length=limits.DESCRIPTION_MAX_CHARS)] = ""
    """What the layer is for."""
    license_info: Annotated[str, Field(max_length=512)] | None = None
    """Its license."""
    compatible_runtimes: Runtimes = []
    """Runtimes that it is for; none: all."""
    compatible_architectures: Architectures = []
    """Architectures that it is for; none: all."""
    content: LayerContent
    """The archive."""


class LayerStatus(Model):
    """What the operator reports."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    latest_version: int | None = None
    """Number of the last version that was published: none ever gets this one or a lower one again."""
    latest_version_arn: str | None = None
    """Its ARN."""
    fingerprint: str | None = None
    """Digest of what was published: the same again publishes nothing."""
    conditions: Conditions = []
    """Ready; Reconciling or Stalled while one of them holds."""


class LayerVersionContent(Model):
    """The archive of a version."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Hex SHA-256: the archive's address in the code store."""
    size: Annotated[int, Field(ge=1)]
    """In bytes, zipped."""
    unzipped_size: Annotated[int, Field(ge=0)]
    """In bytes, unpacked."""
    signature: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Proves that the archive was published in this namespace: who only knows a digest does not have its content."""
    source: str | None = None
    """Where it was fetched from, by name."""
    resolved: str | None = None
    """What that name stood for: an artifact by its digest."""


class LayerVersionSpec(Model):
    """A version as it was published."""

    model_config = ConfigDict(
        json_schema_extra=rules(rule("self == oldSelf", "a published layer version is never changed"))
    )

    layer_name: Annotated[str, Field(min_length=1, max_length=140)]
    """The layer."""
    version: Annotated[int, Field(ge=1)]
    """The number."""
    description: Annotated[str, Field(max_length=limits.DESCRIPTION_MAX_CHARS)] = ""
    """What it is for."""
    license_info: Annotated[str, Field(max_length=512)] | None = None
    """Its license."""
    compatible_runtimes: Runtimes = []
    """Runtimes that it is for; none: all."""
    compatible_architectures: Architectures = []
    """Architectures that it is for; none: all."""
    revision: str | None = None
    """What the Layer said when it was published."""
    content: LayerVersionContent
    """The archive."""


class LayerVersionStatus(Model):
    """What the operator reports."""

    layer_version_arn: str | None = None
    """What functions may name it by."""
    conditions: Conditions = []
    """DeletionRefused while somebody wants it gone and functions use it."""
