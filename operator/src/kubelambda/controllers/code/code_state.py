"""What the operator remembers of code: downloads that failed or were done, archives that nobody runs."""

import asyncio
from dataclasses import dataclass, field

from kubelambda.controllers.function.function_facts import FunctionFacts
from kubelambda.controllers.machinery.declaration import Name
from kubelambda.core.function.problems import Problem
from kubelambda.store.code.code_store import CodeStore


@dataclass(frozen=True, slots=True)
class FailedDownload:
    """Why the archive at an address could not be published."""

    url: str
    sha256: str
    problem: Problem


@dataclass(slots=True)
class CodeState:
    """The code store, and what is known of what is in it."""

    store: CodeStore
    failed_downloads: dict[Name, FailedDownload] = field(default_factory=dict)
    """By Function."""
    fetched: dict[str, set[str]] = field(default_factory=dict)
    """Namespaces that fetched an archive since this process began, by digest; see `has_fetched`."""
    checking: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One large archive is checked at a time: it takes memory and a core."""
    unreferenced: dict[str, float] = field(default_factory=dict)
    """Archives in the store that no function runs, and since when, on the monotonic clock."""

    def has_fetched(self, namespace: str, function: FunctionFacts | None, sha256: str) -> bool:
        """Whether a Function may have an archive of the store without fetching it: it did so before, or its neighbour.

        A digest alone proves nothing: who reads it in the status of another account's Function does not have the code.
        """
        return (function is not None and function.sha256 == sha256) or namespace in self.fetched.get(sha256, ())
