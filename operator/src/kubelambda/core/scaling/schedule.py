"""Schedules as Application Auto Scaling and EventBridge write them (§8.8): `at(…)`, `rate(…)`, `cron(…)`; pure.

A cron expression has six fields, minutes to years, with `?` for "no opinion" and days of the week from 1, a Sunday.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

_FORM: Final = re.compile(r"(at|rate|cron)\((.*)\)")
_RATE: Final = re.compile(r"([1-9]\d{0,8}) (minutes?|hours?|days?)")
_UNITS: Final = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
_DAY_NUMBER: Final = re.compile(r"(?<![\d/#A-Z])([1-7])(?![\d])")
_YEAR_MAX: Final = 2199
_LOOK_AHEAD: Final = timedelta(days=366 * 8)
"""A date that does not come within two leap years (30 February) never does."""
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


class InvalidSchedule(Exception):
    """The expression or its time zone is unusable; the message says what is wrong, and what would be right."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something is due. Times passed in and out are in UTC."""

    expression: str
    zone: ZoneInfo
    _at: datetime | None = None
    _every: timedelta | None = None
    _cron: str = ""
    _years: frozenset[int] | None = None

    def last(self, *, after: datetime, until: datetime) -> datetime | None:
        """The latest time in (after, until] at which it was due: what was missed meanwhile counts once."""
        if self._every is not None:
            due = _EPOCH + (until - _EPOCH) // self._every * self._every
            return due if due > after else None
        latest = None
        for due in self._due(after):
            if due > until:
                break
            latest = due
        return latest

    def next(self, after: datetime) -> datetime | None:
        """The first time after `after`; None when it is over: there is none any more."""
        return next(self._due(after), None)

    def _due(self, after: datetime) -> Iterator[datetime]:
        if self._at is not None:
            yield from ((self._at,) if self._at > after else ())
        elif self._every is not None:
            # Counted from the epoch, so that every process agrees on the times whenever it began.
            due = _EPOCH + ((after - _EPOCH) // self._every + 1) * self._every
            while True:
                yield due
                due += self._every
        elif self._years is None:
            yield from self._by_cron(after.astimezone(self.zone), None)
        else:
            yield from self._in_years(after.astimezone(self.zone), self._years)

    def _in_years(self, after: datetime, years: frozenset[int]) -> Iterator[datetime]:
        """Year by year: a cron expression of every minute is due half a million times in each that is left out."""
        for year in sorted(year for year in years if year >= after.year):
            begin = datetime(year, 1, 1, tzinfo=self.zone) - timedelta(minutes=1)
            yield from self._by_cron(max(after, begin), year)

    def _by_cron(self, after: datetime, year: int | None) -> Iterator[datetime]:
        try:
            for due in CronSim(self._cron, after):
                if (due - after > _LOOK_AHEAD or due.year > _YEAR_MAX) if year is None else due.year > year:
                    return
                yield due.astimezone(UTC)
                if year is None:
                    after = due
        except CronSimError:
            return


def parse_schedule(expression: str, timezone: str = "UTC") -> Schedule:
    """The schedule that `expression` names. Raises `InvalidSchedule`, also for one that never is due.

    One that is over is none of these: it was right while it lasted.
    """
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidSchedule(f"there is no time zone {timezone!r}; name one as Europe/Berlin or UTC") from error
    form = _FORM.fullmatch(expression.strip())
    if form is None:
        raise InvalidSchedule(f"{expression!r} is no schedule: write at(…), rate(…) or cron(…)")
    kind, inner = form[1], form[2].strip()
    if kind == "at":
        return Schedule(expression, zone, _at=_moment(inner, zone))
    if kind == "rate":
        return Schedule(expression, zone, _every=_period(inner))
    found = _parse_cron(expression, inner, zone)
    if found.next(_EPOCH) is None:
        raise InvalidSchedule(f"{expression!r} never fires")
    return found


def _moment(text: str, zone: ZoneInfo) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidSchedule(f"at({text}) is no time: write at(yyyy-mm-ddThh:mm:ss)") from error


def _period(text: str) -> timedelta:
    match = _RATE.fullmatch(text)
    if match is None or (match[1] == "1") == match[2].endswith("s"):
        raise InvalidSchedule(f"rate({text}) is no rate: write rate(1 minute), rate(5 minutes), rate(1 hour), …")
    try:
        return int(match[1]) * _UNITS[match[2].removesuffix("s")]
    except OverflowError as error:
        raise InvalidSchedule(f"rate({text}) is too long") from error


def _parse_cron(expression: str, inner: str, zone: ZoneInfo) -> Schedule:
    fields = inner.split()
    if len(fields) != 6:
        raise InvalidSchedule(
            f"{expression!r} has {len(fields)} fields: write cron(minutes hours day-of-month month day-of-week year)"
        )
    minutes, hours, day, month, weekday, year = fields
    if (day == "?") == (weekday == "?"):
        raise InvalidSchedule(f"{expression!r}: exactly one of day-of-month and day-of-week is ?")
    days = _DAY_NUMBER.sub(lambda match: str(int(match[1]) - 1), weekday.upper()).replace("?", "*")
    cron = f"{minutes} {hours} {day.replace('?', '*')} {month} {days}"
    try:
        CronSim(cron, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise InvalidSchedule(f"{expression!r} is no cron expression: {error}") from error
    return Schedule(expression, zone, _cron=cron, _years=_parse_years(expression, year))


def _parse_years(expression: str, text: str) -> frozenset[int] | None:
    if text == "*":
        return None
    years: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d{4}|\*)(?:-(\d{4}))?(?:/(\d{1,3}))?", part)
        if match is None or (match[3] and not int(match[3])):
            raise InvalidSchedule(f"{expression!r}: {part!r} is no year between 1970 and {_YEAR_MAX}")
        first = 1970 if match[1] == "*" else int(match[1])
        last = int(match[2]) if match[2] else (_YEAR_MAX if match[3] else first)
        years.update(range(first, last + 1, int(match[3] or 1)))
    if not years or min(years) < 1970 or max(years) > _YEAR_MAX:
        raise InvalidSchedule(f"{expression!r}: years are between 1970 and {_YEAR_MAX}")
    return frozenset(years)
