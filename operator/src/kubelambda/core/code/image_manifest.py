"""What a registry says of an image: which of its manifests is ours, and what it runs. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kubelambda.api.kinds.function_image import DeployedImage
from kubelambda.core.code.image_reference import ImageReference

INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_PLATFORM = ("linux", "amd64")


class UnusableImage(Exception):
    """An image that no environment can run; the message says why."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What to ask for next."""

    sha256: str


def own_manifest(document: Mapping[str, Any]) -> Digest | None:
    """The digest of the manifest for our platform in an index; None for what is no index. Raises `UnusableImage`."""
    if "manifests" not in document:
        return None
    for each in document["manifests"]:
        platform = each.get("platform") or {}
        if (platform.get("os"), platform.get("architecture")) == _PLATFORM:
            return _digest(each)
    raise UnusableImage("it has no image for linux/amd64")


def configuration_of(document: Mapping[str, Any]) -> Digest:
    """The digest of the configuration that a manifest names. Raises `UnusableImage`."""
    try:
        return _digest(document["config"])
    except (KeyError, TypeError, AttributeError) as error:
        raise UnusableImage("its manifest is in a format that is not supported") from error


def deployed_image(uri: str, reference: ImageReference, digest: str, configuration: Mapping[str, Any]) -> DeployedImage:
    """What is deployed of an image; `digest` is what the registry has under its name. Raises `UnusableImage`."""
    platform = (configuration.get("os"), configuration.get("architecture"))
    if platform != _PLATFORM:
        raise UnusableImage(f"it is for {platform[0]}/{platform[1]}, not linux/amd64")
    found = configuration.get("config") or {}
    return DeployedImage(
        uri=uri,
        reference=reference.pinned(digest),
        entry_point=list(found.get("Entrypoint") or ()),
        command=list(found.get("Cmd") or ()),
        working_directory=found.get("WorkingDir") or "",
    )


def _digest(document: Mapping[str, Any]) -> Digest:
    algorithm, _, value = str(document.get("digest", "")).partition(":")
    if algorithm != "sha256" or len(value) != 64:
        raise UnusableImage(f"its manifest names a digest that is not supported: {document.get('digest')}")
    return Digest(value)
