"""How many bytes the batches of mappings may hold at once: who holds as much as it leaves to others waits."""

from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.mapping.held_bytes import EXPECTED_LEAST, ByteLimits, HeldBytes, expected

MB = 1 << 20
LIMITS = ByteLimits(account=64 * MB, all_accounts=128 * MB)
BATCH = 6 * MB


def filled(held: HeldBytes, account: str, mappings: int, batches: int = 1000) -> int:
    """How many batches of 6 MB those of an account may hold that all want as many as they can get."""
    begun = 0
    for _ in range(batches):
        for number in range(mappings):
            if held.admits(account, f"{account}-{number}"):
                held.add(account, f"{account}-{number}", BATCH)
                begun += 1
    return begun


def test_one_mapping_alone_has_half_of_what_its_account_may_have() -> None:
    """The other half is for whoever comes next."""
    held = HeldBytes(LIMITS)
    assert filled(held, "a", 1) == 6
    assert held.admits("a", "another")


def test_many_mappings_hold_what_their_account_may_and_one_batch_more_at_most() -> None:
    """However many there are."""
    assert filled(HeldBytes(LIMITS), "a", 500) == 11


def test_an_account_with_many_mappings_leaves_others_theirs() -> None:
    """An account that holds nothing never waits, and has a share of what is left."""
    held = HeldBytes(LIMITS)
    assert filled(held, "a", 500) == 11
    assert held.admits("b", "b")
    assert 5 <= filled(held, "b", 500) <= 11
    assert filled(held, "c", 1) >= 1
    assert held.admits("d", "d")


def test_who_waits_goes_on_once_others_let_go() -> None:
    """Nothing stays of what was given back."""
    held = HeldBytes(LIMITS)
    filled(held, "a", 500)
    assert not held.admits("a", "late")
    held.add("a", "a-0", -BATCH)
    assert held.admits("a", "late")
    for number in range(1, 11):
        held.add("a", f"a-{number}", -BATCH)
    assert held == HeldBytes(LIMITS)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz"), st.integers(1, BATCH)), max_size=80))
def test_no_history_of_batches_holds_more_than_the_limits_and_a_batch_for_each_account(
    wanted: list[tuple[str, str, int]],
) -> None:
    """Whatever sizes turn out to be, for each is known only once it is there."""
    held, sums = HeldBytes(LIMITS), dict[str, int]()
    for account, mapping, size in wanted:
        if held.admits(account, mapping):
            held.add(account, mapping, size)
            sums[account] = sums.get(account, 0) + size
    assert all(each <= LIMITS.account + BATCH for each in sums.values())
    assert sum(sums.values()) <= LIMITS.all_accounts + BATCH * len(sums)


def test_what_is_expected_grows_at_once_and_falls_slowly() -> None:
    """One small batch between large ones is no promise."""
    assert expected(EXPECTED_LEAST, 5 * MB) == 5 * MB
    assert expected(4 * MB, 100) == 3 * MB
    size = 5 * MB
    for _ in range(40):
        size = expected(size, 0)
    assert size == EXPECTED_LEAST
