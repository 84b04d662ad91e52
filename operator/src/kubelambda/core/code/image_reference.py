"""Names of container images: registry, repository, and a tag or digest. Pure."""

import re
from dataclasses import dataclass

from kubelambda.api.reasons import Reason
from kubelambda.core.function.observation import Problem

_HOST = r"(?P<host>[a-zA-Z0-9.-]+(?::\d{1,5})?)"
_PATH = r"(?P<path>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
_REFERENCE = re.compile(
    rf"{_HOST}/{_PATH}(?::(?P<tag>[\w][\w.-]{{0,127}}))?(?:@sha256:(?P<digest>[0-9a-f]{{64}}))?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class ImageReference:
    """A full name."""

    host: str
    """Registry, with its port if it has one of its own."""
    path: str
    tag: str
    digest: str
    """Hex; empty when the tag decides."""

    @property
    def wanted(self) -> str:
        """What the registry is asked for."""
        return f"sha256:{self.digest}" if self.digest else self.tag

    def pinned(self, digest: str) -> str:
        """The same image by its digest."""
        return f"{self.host}/{self.path}@sha256:{digest}"


def parse_image(uri: str) -> ImageReference | Problem:
    """The parts of an `imageUri`; a registry has to be named, as in Lambda."""
    found = _REFERENCE.fullmatch(uri)
    if found is None or not re.search(r"[.:]|^localhost$", found["host"]):
        text = (
            f"Source image {uri} is not valid. Provide a valid source image: registry/repository:tag or @sha256:digest."
        )
        return Problem(Reason.INVALID_IMAGE, text, terminal=True)
    return ImageReference(found["host"], found["path"], found["tag"] or "latest", found["digest"] or "")
