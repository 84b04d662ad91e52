"""When an environment that nobody knows is given up."""

from kubelambda.core.environment.strays import PATIENCE_S, Unknown


def test_an_environment_may_be_unknown_for_as_long_as_a_start_takes() -> None:
    """It may be on its way."""
    unknown = Unknown()
    assert unknown.overdue(["a"], 10.0) == []
    assert unknown.overdue(["a"], 10.0 + PATIENCE_S - 1) == []
    assert unknown.overdue(["a", "b"], 10.0 + PATIENCE_S) == ["a"]


def test_an_environment_that_was_known_in_between_starts_anew() -> None:
    """Nothing is remembered of those that are known or gone."""
    unknown = Unknown()
    unknown.overdue(["a"], 0.0)
    unknown.overdue([], PATIENCE_S - 1)
    assert unknown.since == {}
    assert unknown.overdue(["a"], PATIENCE_S) == []
