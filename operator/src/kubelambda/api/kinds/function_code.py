"""Where the code of a Function comes from (DESIGN §3)."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from kubelambda.api.model import Model
from kubelambda.api.validations import rule, rules

ObjectName = Annotated[str, Field(min_length=1, max_length=253)]
DataKey = Annotated[str, Field(min_length=1, max_length=253)]


Bucket = Annotated[str, Field(pattern="^[0-9A-Za-z._-]{3,63}$")]
ObjectKey = Annotated[str, Field(min_length=1, max_length=1024)]
ObjectVersion = Annotated[str, Field(min_length=1, max_length=1024)]


class ConfigMapCode(Model):
    """Code held in a ConfigMap."""

    name: ObjectName
    """Name of the ConfigMap, in the function's namespace."""
    key: DataKey
    """Key of the code: a zip archive under `binaryData`, or source text under `data`."""


class PullSecret(Model):
    """A Secret of the type kubernetes.io/dockerconfigjson, in the function's namespace."""

    name: ObjectName
    """Its name."""


class OciCode(Model):
    """Code held in an OCI artifact with one layer: a zip archive, or a tar archive that may be packed by gzip."""

    reference: Annotated[str, Field(min_length=1, max_length=1024)]
    """registry/repository:tag or @sha256:digest. What a tag names is fetched once, when this or sha256 changes."""
    pull_secret: PullSecret | None = None
    """Credentials of the registry; absent: it gives the artifact to everybody."""


class StoredCode(Model):
    """Code that the control API put into the code store."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Hex SHA-256 of the archive."""
    size: Annotated[int, Field(ge=1)]
    """In bytes, zipped."""
    signature: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Proves that it was uploaded for this namespace: who only knows a digest does not have the code."""


def archive_rules(member: str, sources: Sequence[str]) -> dict[str, Any]:
    """What the API server checks of a `member` whose archive comes from one of `sources`."""
    return rules(
        rule(
            "[" + ", ".join(f"has(self.{source})" for source in sources) + "].filter(given, given).size() == 1",
            f"{member} needs exactly one of {', '.join(sources)}",
        ),
        rule("!has(self.url) || has(self.sha256)", f"{member}.url and {member}.sha256 belong together: give both"),
        rule(
            "!has(self.sha256) || has(self.url) || has(self.s3Bucket) || has(self.oci)",
            f"{member}.sha256 is for an archive that is fetched: "
            f"it needs {member}.url, {member}.s3Bucket or {member}.oci",
        ),
        rule(
            "has(self.s3Bucket) == has(self.s3Key)",
            f"{member}.s3Bucket and {member}.s3Key belong together: give both or neither",
        ),
        rule("!has(self.s3ObjectVersion) || has(self.s3Bucket)", f"{member}.s3ObjectVersion needs {member}.s3Bucket"),
    )


class ArchiveSource(Model):
    """Where an archive of functions and of layers may come from."""

    zip_file: Annotated[str, Field(min_length=1, max_length=1_048_576)] | None = None
    """Base64 of a zip archive. Larger archives do not fit into a Kubernetes object: use url."""
    url: Annotated[str, Field(pattern="^https?://.+", max_length=2048)] | None = None
    """HTTP(S) address of a zip archive, fetched once by the operator; for another one, change sha256."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """Hex SHA-256 that the archive at url must have, or that in a bucket, or what is stored of an artifact."""
    stored: StoredCode | None = None
    """An archive that came by the control API, as it writes it."""
    s3_bucket: Bucket | None = None
    """Bucket of a zip archive. Fetched once, with the keys in Secret kubelambda-s3 or those of the installation."""
    s3_key: ObjectKey | None = None
    """Key of the archive. What is there is fetched when this, s3ObjectVersion or sha256 changes."""
    s3_object_version: ObjectVersion | None = None
    """Version of the archive in a bucket that keeps them."""
    oci: OciCode | None = None
    """An OCI artifact."""


SOURCES = ("inline", "zipFile", "configMapRef", "url", "stored", "s3Bucket", "oci", "imageUri")


class Code(ArchiveSource):
    """Where the function's code comes from: exactly one source."""

    model_config = ConfigDict(json_schema_extra=archive_rules("code", SOURCES))

    inline: Annotated[str, Field(min_length=1, max_length=262_144)] | None = None
    """Source text, saved under the runtime's file name (index.py, bootstrap), like ZipFile in CloudFormation."""
    config_map_ref: ConfigMapCode | None = None
    """A key of a ConfigMap; a change of it is deployed within about a minute."""
    image_uri: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """Container image, with packageType Image. What a tag names is looked up when this changes, and kept."""
