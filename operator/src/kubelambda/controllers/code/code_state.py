"""What the operator remembers of code: downloads that failed or were done, archives that nobody runs."""

import asyncio
from dataclasses import dataclass, field

from kubelambda.api.kinds.function_image import DeployedImage
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.core.function.observation import Problem
from kubelambda.store.code.code_store import CodeStore


@dataclass(frozen=True, slots=True)
class FailedDownload:
    """Why the archive at an address could not be published."""

    url: str
    sha256: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class ImageLookup:
    """What a registry said of an image."""

    uri: str
    outcome: DeployedImage | Problem


@dataclass(slots=True)
class CodeState:
    """The code store, and what is known of what is in it."""

    store: CodeStore
    failed_downloads: dict[Key, FailedDownload] = field(default_factory=dict)
    """By the key of the Function or Layer."""
    images: dict[Key, ImageLookup] = field(default_factory=dict)
    """By the key of the Function."""
    unzipped_sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of an archive's files, by its digest."""
    fetched: dict[str, set[str]] = field(default_factory=dict)
    """Namespaces that fetched an archive since this process began, by digest; see `has_fetched`."""
    checking: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One large archive is checked at a time: it takes memory and a core."""
    unreferenced: dict[str, float] = field(default_factory=dict)
    """Archives in the store that no function runs, and since when, on the monotonic clock."""

    def has_fetched(self, namespace: str, sha256: str) -> bool:
        """Whether somebody in a namespace fetched an archive since this process began.

        A digest alone proves nothing: who reads it in the status of another account's Function does not have the code.
        """
        return namespace in self.fetched.get(sha256, ())
