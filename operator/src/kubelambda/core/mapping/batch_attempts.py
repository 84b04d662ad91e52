"""What becomes of a batch of a stream after each attempt: done, tried again, halved, or given up (§7.2.4, §7.4.5)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from kubelambda.core.mapping.stream_rules import FOREVER, StreamRecord, StreamRules

PAUSE_FIRST_S: Final = 0.5
PAUSE_MAX_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class StreamBatch:
    """Records that one invocation gets. `retries` counts those of the mapping's limit, `invoked` every attempt."""

    records: tuple[StreamRecord, ...]
    retries: int = 0
    invoked: int = 0


@dataclass(frozen=True, slots=True)
class BatchVerdict:
    """What comes of an attempt: records that are done, batches to try next, in order, and one that is given up."""

    done: tuple[StreamRecord, ...] = ()
    again: tuple[StreamBatch, ...] = ()
    given_up: StreamBatch | None = None


def after(batch: StreamBatch, failed: Collection[str], rules: StreamRules) -> BatchVerdict:
    """After the function ran and `failed` names the sequence numbers of records that failed, all of them for an error.

    The first of them counts: what is before it is done, and the batch goes on with it.
    """
    first = next((at for at, record in enumerate(batch.records) if record.sequence in failed), None)
    if first is None:
        return BatchVerdict(done=batch.records)
    done = batch.records[:first]
    rest = replace(batch, records=batch.records[first:], invoked=batch.invoked + 1)
    if rules.bisect and len(batch.records) > 1:  # a split is no retry
        return BatchVerdict(done, (rest,) if done else halves(rest))
    if rules.max_retries != FOREVER and rest.retries >= rules.max_retries:
        return BatchVerdict(done, given_up=rest)
    return BatchVerdict(done, (replace(rest, retries=rest.retries + 1),))


def halves(batch: StreamBatch) -> tuple[StreamBatch, ...]:
    """A batch as two, the first of them no smaller."""
    middle = (len(batch.records) + 1) // 2
    return replace(batch, records=batch.records[:middle]), replace(batch, records=batch.records[middle:])


def split_expired(
    batch: StreamBatch, now: datetime, rules: StreamRules
) -> tuple[StreamBatch | None, StreamBatch | None]:
    """The records that are too old by now, which come first, and the others."""
    if rules.max_age_s == FOREVER:
        return None, batch
    count = sum(1 for _ in _expired(batch.records, now, rules.max_age_s))
    old, rest = batch.records[:count], batch.records[count:]
    return (replace(batch, records=old) if old else None, replace(batch, records=rest) if rest else None)


def _expired(records: Sequence[StreamRecord], now: datetime, max_age_s: int) -> list[StreamRecord]:
    found = []
    for record in records:
        if (now - record.arrival).total_seconds() <= max_age_s:
            break
        found.append(record)
    return found


def pause_s(failures: int) -> float:
    """Between an attempt and the next, after so many that failed in a row."""
    return min(PAUSE_MAX_S, PAUSE_FIRST_S * 2.0 ** (failures - 1)) if failures else 0.0
