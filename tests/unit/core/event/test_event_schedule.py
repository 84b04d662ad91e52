"""Events are tried in turn by function, when they are due, and as many at once as their function takes."""

from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.event.delivery import AttemptOutcome
from kubelambda.core.event.event_schedule import WINDOW_FIRST, EventSchedule

A, B = ("team", "a"), ("team", "b")


def test_one_function_with_many_events_does_not_delay_another() -> None:
    """In turn, whatever came first."""
    schedule = EventSchedule()
    for number in range(1000):
        schedule.add(A, number, 0.0)
    schedule.add(B, 1000, 0.0)
    first = [schedule.take(1.0) for _ in range(2)]
    assert (B, 1000) in first


def test_events_come_when_they_are_due_and_in_that_order() -> None:
    """Oldest first within a function."""
    schedule = EventSchedule()
    for number, due in ((1, 30.0), (2, 10.0), (3, 20.0)):
        schedule.add(A, number, due)
    assert schedule.take(5.0) is None
    assert schedule.next_due() == 10.0
    assert [schedule.take(25.0), schedule.take(25.0), schedule.take(25.0)] == [(A, 2), (A, 3), None]
    assert schedule.next_due() == 30.0
    assert schedule.take(30.0) == (A, 1)


def test_a_function_gets_no_more_at_once_than_its_window() -> None:
    """It grows with successes and halves when it turns events down."""
    schedule = EventSchedule()
    for number in range(100):
        schedule.add(A, number, 0.0)
    taken = 0
    while schedule.take(1.0):
        taken += 1
    assert taken == WINDOW_FIRST
    schedule.finished(A, AttemptOutcome.SUCCEEDED)
    assert [schedule.take(1.0) is not None for _ in range(3)] == [True, True, False]
    for _ in range(6):
        schedule.finished(A, AttemptOutcome.TURNED_DOWN)
    assert schedule.take(1.0) is None


def test_a_function_that_turned_events_down_is_tried_carefully() -> None:
    """One that runs one at a time turns down few of a hundred events, not every second one."""
    schedule = EventSchedule()
    for number in range(100):
        schedule.add(A, number, 0.0)
    turned_down = succeeded = 0
    while succeeded < 80:
        batch = 0
        while schedule.take(1.0):
            batch += 1
        schedule.finished(A, AttemptOutcome.SUCCEEDED)
        succeeded += 1
        for number in range(batch - 1):
            schedule.finished(A, AttemptOutcome.TURNED_DOWN)
            schedule.add(A, 1000 + number, 0.0)
            turned_down += 1
    assert turned_down < 25


def test_a_function_whose_events_are_all_done_is_forgotten() -> None:
    """What waits for nobody takes no memory."""
    schedule = EventSchedule()
    schedule.add(A, 1, 0.0)
    assert schedule.take(0.0) == (A, 1)
    schedule.finished(A, AttemptOutcome.SUCCEEDED)
    assert (len(schedule), schedule.next_due(), schedule.waiting_by_function()) == (0, None, {})


STEP = st.tuples(st.sampled_from(["add", "take", "end", "fail", "forget"]), st.integers(0, 3), st.floats(0, 50))


@given(st.lists(STEP, max_size=120))
def test_no_history_loses_or_repeats_an_event(steps: list[tuple[str, int, float]]) -> None:
    """Every event that was added comes out exactly once: taken, or forgotten."""
    schedule, now, number = EventSchedule(), 0.0, 0
    running: list[tuple[str, str]] = []
    expected: set[int] = set()
    out: list[int] = []
    for action, which, amount in steps:
        function = ("n", str(which))
        if action == "add":
            number += 1
            expected.add(number)
            schedule.add(function, number, now + amount)
        elif action == "take":
            now += amount / 10
            taken = schedule.take(now)
            if taken is not None:
                running.append(taken[0])
                out.append(taken[1])
        elif action == "forget":
            out += schedule.withdraw(function, {each for whose, each in schedule.numbers() if whose == function})
        elif running:
            ended = running.pop(which % len(running))
            schedule.finished(ended, AttemptOutcome.SUCCEEDED if action == "end" else AttemptOutcome.TURNED_DOWN)
    while len(schedule):
        due = schedule.next_due()
        now = max(now, due) if due is not None else now
        taken = schedule.take(now)
        if taken is not None:
            running.append(taken[0])
            out.append(taken[1])
        elif running:
            schedule.finished(running.pop(), AttemptOutcome.SUCCEEDED)
        else:
            assert schedule.next_due() is not None
    assert sorted(out) == sorted(expected)


def test_what_is_withdrawn_can_come_earlier() -> None:
    """As a redrive has it: the others keep their time, and none is there twice."""
    schedule = EventSchedule()
    for number in range(4):
        schedule.add(A, number, 100.0 + number)
    assert schedule.withdraw(A, {1, 3, 9}) == {1: 101.0, 3: 103.0}
    assert len(schedule) == 2
    for number in (1, 3):
        schedule.add(A, number, 1.0)
    taken = [schedule.take(1.0) for _ in range(3)]
    assert taken == [(A, 1), (A, 3), None]
    assert sorted(schedule.numbers()) == [(A, 0), (A, 2)]
