"""What the operator remembers of code: downloads that failed or were done, archives that nobody runs."""

import asyncio
import contextlib
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter

from kubelambda.api.kinds.deployed_configuration import DeployedCode
from kubelambda.api.kinds.function_image import DeployedImage
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.core.code.remote_source import RemoteSource
from kubelambda.core.code.signed_content import SignedContent
from kubelambda.core.function.observation import Problem
from kubelambda.store.code.code_fetcher import CodeFetcher
from kubelambda.store.code.code_store import CodeStore


@dataclass(frozen=True, slots=True)
class WantedArchive:
    """What a Function or Layer names: an address, or a source that the code fetcher alone reaches."""

    source: str | RemoteSource
    sha256: str | None
    """The digest that it must have; every address has one."""

    @property
    def name(self) -> str:
        """What the source is called."""
        return self.source if isinstance(self.source, str) else self.source.name


@dataclass(frozen=True, slots=True)
class FailedDownload:
    """Why the archive at an address could not be published."""

    wanted: WantedArchive
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
    fetcher: CodeFetcher
    failed_downloads: dict[Key, FailedDownload] = field(default_factory=dict)
    """By the key of the Function or Layer."""
    arrivals: dict[Key, tuple[WantedArchive, DeployedCode]] = field(default_factory=dict)
    """What the fetcher brought, by the key of the Function or Layer: its digest is known only then."""
    images: dict[Key, ImageLookup] = field(default_factory=dict)
    """By the key of the Function or FunctionVersion."""
    image_askers: set[Key] = field(default_factory=set)
    """Functions and versions that asked while a registry was being asked already, maybe for another image."""
    unzipped_sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of an archive's files, by its digest."""
    contents: dict[str, SignedContent] = field(default_factory=dict)
    """What signatures of archives speak of, by the archive's digest: of functions with a code signing configuration."""
    signature_errors: Counter | None = None
    """Deployments of code whose signature is not trusted, by namespace and function (§9.3)."""
    fetched: dict[str, set[str]] = field(default_factory=dict)
    """Namespaces that fetched an archive since this process began, by digest; see `has_fetched`."""
    checking: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One large archive is checked at a time: it takes memory and a core."""
    unreferenced: dict[str, float] = field(default_factory=dict)
    """Archives in the store that no function runs, and since when, on the monotonic clock."""

    def forget(self, key: Key) -> None:
        """A Function or Layer is gone."""
        if self.signature_errors is not None and key.kind == "Function":
            with contextlib.suppress(KeyError):
                self.signature_errors.remove(key.namespace, key.name)
        self.image_askers.discard(key)
        for known in (self.failed_downloads, self.arrivals, self.images):
            known.pop(key, None)

    def has_fetched(self, namespace: str, sha256: str) -> bool:
        """Whether somebody in a namespace fetched an archive since this process began.

        A digest alone proves nothing: who reads it in the status of another account's Function does not have the code.
        """
        return namespace in self.fetched.get(sha256, ())


def signature_errors(registry: CollectorRegistry) -> Counter:
    """Lambda's metric SignatureValidationErrors (§9.3)."""
    return Counter(
        "kubelambda_signature_validation_errors_total",
        "Code and layers that were deployed though their signature is not trusted",
        ["namespace", "function"],
        registry=registry,
    )
