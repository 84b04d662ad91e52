"""Which shards of a stream are read: children once their parents are done, and none twice (§7.4.4)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as the source lists it."""

    id: str
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShardProgress:
    """How far a shard is done: the last sequence number, or all of it."""

    sequence: str | None = None
    finished: bool = False


def readable(shards: Iterable[Shard], progress: Mapping[str, ShardProgress]) -> list[str]:
    """The shards that may be read now. Parents that are no longer listed are older than all that is kept: done."""
    listed = {shard.id: shard for shard in shards}

    def finished(shard: str) -> bool:
        known = progress.get(shard)
        return known is not None and known.finished

    return [
        shard.id
        for shard in listed.values()
        if not finished(shard.id) and all(finished(parent) for parent in shard.parents if parent in listed)
    ]


def kept(shards: Iterable[Shard], progress: Mapping[str, ShardProgress]) -> dict[str, ShardProgress]:
    """The progress that must be remembered: of shards that are listed."""
    listed = {shard.id for shard in shards}
    return {shard: known for shard, known in progress.items() if shard in listed}
