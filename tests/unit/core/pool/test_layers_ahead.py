"""Idle environments hold the layers that are claimed, and no more of them than are."""

from hypothesis import given
from hypothesis import strategies as st

from kubelambda.api.kinds.function_mounts import DeployedLayer
from kubelambda.core.pool.layers_ahead import WORTH_BYTES, Digests, rank, to_hold, worth_holding

ONE, TWO = ("a", "b"), ("c",)


def test_only_large_layers_are_held() -> None:
    """Together; small ones come along with a claim."""
    layers = [DeployedLayer(arn="x", sha256=name, size=WORTH_BYTES // 2) for name in "ab"]
    assert worth_holding(layers) == ()
    assert worth_holding([*layers, DeployedLayer(arn="x", sha256="c", size=1)]) == ("a", "b", "c")
    assert worth_holding([]) == ()


def test_as_many_hold_layers_as_are_wanted() -> None:
    """Those that hold them already count; who holds nothing is told before who holds what nobody wants any more."""
    idle = {"new": (), "old": ("gone",), "one": ONE, "other": ()}
    assert to_hold(idle, {ONE: 1}) == {}
    assert to_hold(idle, {ONE: 2}) == {"new": ONE}
    assert to_hold(idle, {ONE: 9}) == {"new": ONE, "other": ONE, "old": ONE}


def test_several_functions_share_a_pool() -> None:
    """The layers that most environments are missing for come first; nobody's are taken away."""
    assert sorted(to_hold({"a": (), "b": (), "c": ()}, {ONE: 2, TWO: 1}).values()) == [ONE, ONE, TWO]
    assert to_hold({"a": ONE}, {ONE: 1, TWO: 5}) == {}


HELD = st.sampled_from([(), ONE, TWO, ("gone",)])


@given(
    st.dictionaries(st.text(max_size=3), HELD, max_size=8),
    st.dictionaries(st.sampled_from([ONE, TWO]), st.integers(0, 5)),
)
def test_telling_ends(idle: dict[str, Digests], wanted: dict[Digests, int]) -> None:
    """Once every environment does what it was told, nobody is told anything more."""
    assert to_hold(idle | to_hold(idle, wanted), wanted) == {}


def test_the_environment_that_suits_best_is_taken() -> None:
    """One that holds the layers, then one that is about to, an empty one, and one that has to let go of others."""
    suits = [rank(ONE, ONE, whole=True), rank(ONE, ONE, whole=False), rank((), ONE, whole=True)]
    suits += [rank(TWO, ONE, whole=True), rank(TWO, ONE, whole=False)]
    assert suits == sorted(set(suits))
    assert suits[0] == 0
    assert 0 == rank((), (), whole=True) < rank(ONE, (), whole=True) < rank(ONE, (), whole=False)
