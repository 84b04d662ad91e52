"""Who waits for news of a function, and for how long."""

from kubelambda.core.invoke.waiting_room import WAIT_S, WAITING_MAX, WaitingRoom

F, G, ELSEWHERE = ("team", "f"), ("team", "g"), ("other", "f")


def everybody(_: str) -> bool:
    """Whoever it is."""
    return True


def entered(*guests: tuple[tuple[str, str], str, float]) -> WaitingRoom[str]:
    """A room with guests, who came one after the other."""
    room: WaitingRoom[str] = WaitingRoom()
    for function, guest, now in guests:
        room.enter(function, guest, now)
    return room


def test_everybody_waits_for_the_same_time() -> None:
    """From when each came, and not a moment longer."""
    room = entered((F, "first", 10), (G, "second", 10.25), (F, "third", 10.5))
    assert room.next_at == 10 + WAIT_S
    assert room.overdue(10 + WAIT_S - 0.01) == []
    assert room.overdue(10.25 + WAIT_S) == ["first", "second"]
    assert room.next_at == 10.5 + WAIT_S
    assert room.overdue(100) == ["third"]
    assert room.next_at is None
    assert room.overdue(200) == []


def test_news_are_for_those_of_the_function_whom_they_serve() -> None:
    """In the order in which they came; the others wait on, for as long as before."""
    room = entered((F, "first", 10), (G, "second", 10), (F, "third", 10.1), (ELSEWHERE, "fourth", 10), (F, "last", 11))
    assert room.heard(F, lambda guest: guest != "third") == ["first", "last"]
    assert room.heard(("team", "unknown"), everybody) == []
    assert room.overdue(10.1 + WAIT_S) == ["second", "third", "fourth"]
    assert room.heard(F, everybody) == []


def test_some_news_are_for_all_functions() -> None:
    """Whom they do not serve waits on."""
    room = entered((F, "first", 10), (G, "second", 10), (ELSEWHERE, "third", 10.1))
    assert room.heard_by_all(lambda guest: guest != "second") == ["first", "third"]
    assert room.overdue(10.1 + WAIT_S) == ["second"]
    assert room.heard_by_all(everybody) == []


def test_few_of_an_account_may_wait() -> None:
    """Of all its functions together; it keeps nobody else out, and whoever leaves makes room."""
    room: WaitingRoom[int] = WaitingRoom()
    for number in range(WAITING_MAX):
        assert not room.full("team")
        room.enter(("team", f"f-{number % 7}"), number, float(number))
    assert room.full("team")
    assert not room.full("other")
    assert room.leave("other", lambda _: True) == []
    assert room.leave("team", lambda number: number in (3, 5)) == [3, 5]
    assert not room.full("team")
    assert room.heard(("team", "f-3"), lambda _: True)[:2] == [10, 17]
    assert [number for number in room.overdue(1e9) if number % 7 == 3] == []
    assert not room.full("team")
