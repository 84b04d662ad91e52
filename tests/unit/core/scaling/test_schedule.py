"""Schedules are due when Application Auto Scaling says so, in the alias's own time zone (§8.8)."""

from datetime import UTC, datetime, timedelta

import pytest

from kubelambda.core.scaling.schedule import InvalidSchedule, parse_schedule

NOW = datetime(2026, 3, 2, 6, 59, tzinfo=UTC)  # a Monday


def moment(text: str) -> datetime:
    """A time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "zone", "due"),
    [
        ("cron(0 8 ? * MON-FRI *)", "Europe/Berlin", "2026-03-02T07:00"),
        ("cron(0 8 ? * MON-FRI *)", "UTC", "2026-03-02T08:00"),
        ("cron(0 8 ? * 2-6 *)", "UTC", "2026-03-02T08:00"),
        ("cron(0 8 ? * 1 *)", "UTC", "2026-03-08T08:00"),
        ("cron(30 10 1 * ? *)", "UTC", "2026-04-01T10:30"),
        ("cron(0/15 * * * ? *)", "UTC", "2026-03-02T07:00"),
        ("cron(0 0 L * ? *)", "UTC", "2026-03-31T00:00"),
        ("cron(0 0 ? * 6L *)", "UTC", "2026-03-27T00:00"),
        ("cron(0 12 ? * MON#2 *)", "UTC", "2026-03-09T12:00"),
        ("cron(0 12 1 1 ? 2028)", "UTC", "2028-01-01T12:00"),
        ("cron(0 12 1 1 ? 2020-2030/5)", "UTC", "2030-01-01T12:00"),
        ("rate(1 minute)", "UTC", "2026-03-02T07:00"),
        ("rate(5 minutes)", "UTC", "2026-03-02T07:00"),
        ("rate(1 day)", "UTC", "2026-03-03T00:00"),
        ("at(2026-03-02T09:00:00)", "Europe/Berlin", "2026-03-02T08:00"),
    ],
)
def test_the_next_time(expression: str, zone: str, due: str) -> None:
    """Six fields, Sunday is 1, and the zone's own clock."""
    assert parse_schedule(expression, zone).next(NOW) == moment(due)


def test_a_time_that_summer_skips_or_repeats_comes_once_a_day() -> None:
    """The nights in which Berlin changes its clocks."""
    schedule = parse_schedule("cron(30 2 * * ? *)", "Europe/Berlin")
    for begin in (moment("2026-03-27T12:00"), moment("2026-10-23T12:00")):
        days, due = set(), begin
        for _ in range(3):
            found = schedule.next(due)
            assert found is not None
            days.add(found.date())
            due = found
        assert len(days) == 3


def test_what_was_missed_counts_once_and_by_its_latest_time() -> None:
    """An operator that was away for hours does not run every action that it missed."""
    schedule = parse_schedule("rate(1 hour)")
    assert schedule.last(after=NOW - timedelta(hours=5), until=NOW) == moment("2026-03-02T06:00")
    assert schedule.last(after=NOW - timedelta(minutes=10), until=NOW) is None


def test_a_single_time_is_due_once() -> None:
    """`at` is over when it was."""
    schedule = parse_schedule("at(2026-03-02T06:00:00)")
    assert schedule.next(NOW) is None
    assert schedule.last(after=NOW - timedelta(hours=2), until=NOW) == moment("2026-03-02T06:00")


@pytest.mark.parametrize("expression", ["cron(0 0 1 1 ? 2020)", "at(2020-01-01T00:00:00)"])
def test_what_is_over_was_right_while_it_lasted(expression: str) -> None:
    """Not a mistake that somebody has to mend, as one that never fires is."""
    schedule = parse_schedule(expression)
    assert schedule.next(NOW) is None
    assert schedule.last(after=moment("2019-12-31T12:00"), until=NOW) == moment("2020-01-01T00:00")


def test_a_far_year_is_found_without_counting_every_minute_until_then() -> None:
    """An expression that is due each minute, in one year of the next century."""
    schedule = parse_schedule("cron(* * * * ? 2199)")
    assert schedule.next(NOW) == moment("2199-01-01T00:00")
    assert schedule.last(after=NOW - timedelta(days=365), until=NOW) is None


@pytest.mark.parametrize(
    ("expression", "zone", "says"),
    [
        ("cron(0 0 30 2 ? *)", "UTC", "day-of-month"),
        ("cron(0 0 29 2 ? 2100)", "UTC", "never fires"),
        ("cron(0 8 * * MON *)", "UTC", "exactly one"),
        ("cron(0 8 ? * ? *)", "UTC", "exactly one"),
        ("cron(0 8 ? * MON)", "UTC", "has 5 fields"),
        ("cron(61 8 ? * MON *)", "UTC", "no cron expression"),
        ("cron(0 8 ? * MON 1900)", "UTC", "years are"),
        ("rate(1 minutes)", "UTC", "no rate"),
        ("rate(0 minutes)", "UTC", "no rate"),
        ("rate(5 weeks)", "UTC", "no rate"),
        ("cron(0 8 ? * MON 2026/00)", "UTC", "no year"),
        ("at(tomorrow)", "UTC", "no time"),
        ("at(0001-01-01T00:00:00)", "Asia/Tokyo", "no time"),
        ("at(9999-12-31T23:59:59)", "America/New_York", "no time"),
        ("every day", "UTC", "no schedule"),
        ("rate(5 minutes)", "Europe/Atlantis", "no time zone"),
        ("rate(5 minutes)", "../../etc/passwd", "no time zone"),
    ],
)
def test_what_is_no_schedule_says_so(expression: str, zone: str, says: str) -> None:
    """For the person who wrote it."""
    with pytest.raises(InvalidSchedule, match=says):
        parse_schedule(expression, zone)
