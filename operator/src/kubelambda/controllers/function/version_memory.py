"""What the operator remembers of versions and aliases beyond their facts."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from kubelambda.controllers.code.code_state import CodeState
from kubelambda.controllers.machinery.watched import Name


@dataclass(slots=True)
class VersionMemory:
    """Decisions ahead of what statuses say yet."""

    code: CodeState
    provisioned: dict[str, int] = field(default_factory=dict)
    """Provisioned concurrency by uid of an alias or version."""
    doomed: set[str] = field(default_factory=set)
    """Uids of provisioned pods whose Deployment was removed: they look ready until Kubernetes comes to them."""
    publishing: defaultdict[Name, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    """One version of a function is published at a time: each gets the number after the last one's."""
