"""As many idle environments are opened ahead as functions of a network take, and none for two of them."""

from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.pool.networks_ahead import CLOSED, Opening, opening, rank


def test_as_many_are_opened_as_are_wanted() -> None:
    """Those that are open already count."""
    idle = {"a": CLOSED, "b": CLOSED, "c": "front"}
    assert opening(idle, {"front": 1}, shared=False) == Opening({})
    assert opening(idle, {"front": 2}, shared=False) == Opening({"a": "front"})
    assert opening(idle, {"front": 9}, shared=False) == Opening({"a": "front", "b": "front"})


def test_one_stays_closed_where_functions_of_several_networks_share_a_pool() -> None:
    """Any of them can have it: a pool of one opens nothing ahead."""
    assert opening({"a": CLOSED}, {"front": 1}, shared=True) == Opening({})
    assert opening({"a": CLOSED, "b": CLOSED}, {"front": 5}, shared=True) == Opening({"b": "front"})
    found = opening({"a": CLOSED, "b": CLOSED, "c": CLOSED}, {"front": 2, "back": 2}, shared=True)
    assert sorted(found.opened.values()) == ["back", "front"]


def test_what_is_open_for_nobody_goes_where_others_lack_it() -> None:
    """As many as they lack; where nobody lacks any, it stays."""
    idle = {"a": "gone", "b": "gone", "c": "front"}
    assert opening(idle, {"front": 1}, shared=False).replaced == ()
    assert opening(idle, {"front": 2}, shared=False).replaced == ("a",)
    assert opening(idle, {"front": 1}, shared=True).replaced == ("a",)
    assert opening(idle, {"front": 9}, shared=False).replaced == ("a", "b")


SETS = st.sampled_from([CLOSED, "front", "back", "gone"])


@given(
    st.dictionaries(st.text(min_size=1, max_size=3), SETS, max_size=8),
    st.dictionaries(st.sampled_from(["front", "back"]), st.integers(1, 5)),
    st.booleans(),
)
def test_only_what_is_closed_is_opened_and_that_ends(
    idle: dict[str, str], wanted: dict[str, int], shared: bool
) -> None:
    """What is open for one network never becomes another's; once all is done, nothing more is opened."""
    found = opening(idle, wanted, shared=shared)
    assert all(idle[name] == CLOSED for name in found.opened)
    assert not set(found.opened) & set(found.replaced)
    assert all(idle[name] not in (CLOSED, *wanted) for name in found.replaced)
    assert opening(idle | dict(found.opened), wanted, shared=shared).opened == {}


def test_the_environment_that_suits_best_is_taken() -> None:
    """One that is open for the function's network, a closed one, one that is about to be open; no other ever."""
    suits = [rank("front", "front", known=True), rank(CLOSED, "front", known=True), rank("front", "front", known=False)]
    assert suits == [0, 1, 2]
    assert rank("back", "front", known=True) is None
    assert rank("back", "front", known=False) is None
    assert rank(CLOSED, CLOSED, known=True) == 0
