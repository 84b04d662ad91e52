"""Who owns an account, as one frontend sees it: nobody before anybody is known, and never two that see the same."""

from dataclasses import dataclass, field

from tests.ports import free_port

from kubelambda.core.account import ownership
from kubelambda.frontend.account.owners import Owners

ACCOUNTS = [f"team-{number}" for number in range(20)]
FIRST, SECOND = "127.0.1.1", "127.0.1.2"


@dataclass
class Seen:
    """What one frontend hears of the members, and does."""

    address: str = FIRST
    members: frozenset[str] = frozenset()
    changes: int = 0
    owners: Owners = field(init=False)

    def __post_init__(self) -> None:
        self.owners = Owners(self.address, free_port(), lambda: self.members, self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def hears(self, *members: str) -> "Seen":
        """Kubernetes says that these are ready."""
        self.members = frozenset(members)
        self.owners.members_changed()
        return self

    def owned(self) -> list[str]:
        """The accounts that it owns."""
        return [account for account in ACCOUNTS if self.owners.owns(account)]


def ranked_first(address: str) -> list[str]:
    """Accounts of an address of two."""
    return [account for account in ACCOUNTS if ownership.ranked(account, (FIRST, SECOND))[0] == address]


def test_nothing_is_owned_before_anybody_is_known() -> None:
    """That nobody is ready is what several hear that start together: it makes nobody an owner."""
    seen = Seen()
    assert (seen.owned(), seen.owners.known) == ([], False)
    seen.hears()
    assert (seen.owned(), seen.owners.known) == ([], False)
    assert (seen.owners.ranked(ACCOUNTS[0]), seen.changes) == ([], 1)


def test_the_only_one_owns_everything_once_it_is_ready_itself() -> None:
    """And who is not ready yet nothing, beside one that is."""
    assert Seen().hears(FIRST).owned() == ACCOUNTS
    assert Seen().hears(SECOND).owned() == []


def test_two_that_are_ready_share() -> None:
    """Each account has one owner."""
    first, second = Seen(FIRST).hears(FIRST, SECOND), Seen(SECOND).hears(FIRST, SECOND)
    assert first.owned() == ranked_first(FIRST)
    assert second.owned() == ranked_first(SECOND)
    assert sorted(first.owned() + second.owned()) == sorted(ACCOUNTS)


def test_that_nobody_is_ready_any_more_makes_nobody_else_an_owner() -> None:
    """Kubernetes says so of all when it has lost sight of their nodes; what is said next counts again."""
    first, second = Seen(FIRST).hears(FIRST, SECOND).hears(), Seen(SECOND).hears(FIRST, SECOND).hears()
    assert first.owned() == ranked_first(FIRST)
    assert second.owned() == ranked_first(SECOND)
    assert first.hears(SECOND).owned() == []


async def test_who_is_passed_over_is_owner_of_nothing_though_nobody_is_ready() -> None:
    """It was ready once, and cannot be reached."""
    seen = Seen().hears(FIRST, SECOND).hears()
    seen.owners.suspect(SECOND)
    assert seen.owned() == ACCOUNTS
    assert seen.owners.away == [SECOND]
    assert seen.hears(FIRST).owners.away == []


def test_who_leaves_alone_owns_what_still_comes() -> None:
    """And nothing where somebody stays."""
    alone, one_of_two = Seen().hears(FIRST), Seen().hears(FIRST, SECOND)
    alone.owners.leave()
    one_of_two.owners.leave()
    assert alone.owned() == ACCOUNTS
    assert alone.hears().owned() == ACCOUNTS
    assert one_of_two.owned() == []
