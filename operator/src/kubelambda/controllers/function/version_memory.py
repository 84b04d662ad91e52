"""What the operator remembers of versions and aliases beyond their facts."""

import asyncio
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from kubelambda.controllers.code.code_state import CodeState
from kubelambda.controllers.function.decisions import Decisions
from kubelambda.controllers.machinery.watched import Name


@dataclass(slots=True)
class VersionMemory:
    """Decisions ahead of what statuses say yet."""

    code: CodeState
    provisioned: Decisions[int] = field(default_factory=Decisions)
    """Provisioned concurrency of aliases and versions."""
    doomed: set[str] = field(default_factory=set)
    """Uids of provisioned pods whose Deployment was removed: they look ready until Kubernetes comes to them."""
    publishing: WeakValueDictionary[Name, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    """Of functions whose versions are published now."""

    def publishing_of(self, namespace: str, function: str) -> asyncio.Lock:
        """One version of a function is published at a time: each gets the number after the last one's."""
        return self.publishing.setdefault((namespace, function), asyncio.Lock())
