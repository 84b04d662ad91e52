"""Every matcher of Lambda's filters: what it takes, what it leaves, and what a field that is missing means (§7.8)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.mapping.event_pattern import INVALID, InvalidPattern, compile_pattern

EVENT = {
    "name": "Ada Lovelace",
    "age": 36,
    "height": 1.65,
    "active": True,
    "nothing": None,
    "empty": "",
    "tags": ["math", "poetry"],
    "address": {"city": "London", "zip": "W1"},
    "orders": [{"id": 1, "total": 5}, {"id": 2, "total": 50}],
}


def matches(pattern: Any, event: Any = EVENT) -> bool:
    """Whether an event matches."""
    return compile_pattern(json.dumps(pattern))(event)


@pytest.mark.parametrize(
    ("matcher", "yes", "no"),
    [
        ("x", ["x", ["y", "x"]], ["X", "xx", 1, None, {"x": "x"}]),
        ("", [""], [" ", None]),
        (300, [300, 300.0, [1, 300]], ["300", 301, True]),
        (1, [1], [True]),
        (True, [True], [1, "true", False]),
        (None, [None], ["", 0, False]),
        ({"prefix": "ab"}, ["ab", "abc"], ["Ab", "cab", 1]),
        ({"suffix": "yz"}, ["yz", "xyz"], ["yza", None]),
        ({"equals-ignore-case": "aBc"}, ["ABC", "abc"], ["ab", 1]),
        ({"wildcard": "a*c*e"}, ["ace", "abcde"], ["ac", "abcd", "ae"]),
        ({"anything-but": "x"}, ["y", 1, True, ["x", "y"]], ["x", ["x"], None]),
        ({"anything-but": [1, "x"]}, [2, "1", "y"], [1, "x", 1.0]),
        ({"anything-but": {"prefix": "ab"}}, ["b", ""], ["ab", "abc", 1]),
        ({"anything-but": {"suffix": "yz"}}, ["yza"], ["xyz"]),
        ({"anything-but": {"equals-ignore-case": ["a", "B"]}}, ["c"], ["A", "b"]),
        ({"anything-but": {"wildcard": "*/lib/*"}}, ["/bin/x"], ["/usr/lib/x"]),
        ({"numeric": ["=", 5]}, [5, 5.0, [4, 5]], ["5", 6, True, None]),
        ({"numeric": [">", 10, "<=", 20]}, [11, 20], [10, 21]),
        ({"numeric": [">=", -1.5]}, [-1.5, 0], [-2]),
        ({"exists": True}, ["", None, 0, ["x"]], [{"x": 1}]),
        ({"exists": False}, [{"x": 1}], ["", None, 0]),
    ],
)
def test_each_matcher(matcher: Any, yes: list[Any], no: list[Any]) -> None:
    """One positive and one negative at least; lists match by any element."""
    for value in yes:
        assert matches({"k": [matcher]}, {"k": value}), value
    for value in no:
        assert not matches({"k": [matcher]}, {"k": value}), value


@pytest.mark.parametrize(
    "matcher", ["x", 1, True, None, {"anything-but": "x"}, {"prefix": ""}, {"exists": True}, {"numeric": ["<", 5]}]
)
def test_a_missing_field_matches_nothing_but_its_absence(matcher: Any) -> None:
    """Not even anything-but, not null."""
    assert not matches({"gone": [matcher]})
    assert matches({"gone": [{"exists": False}]})
    assert matches({"gone": {"deeper": [{"exists": False}]}})


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"name": [{"prefix": "Ada"}], "age": [36]}, True),
        ({"name": [{"prefix": "Ada"}], "age": [37]}, False),
        ({"age": [1, 36]}, True),
        ({"address": {"city": ["London"], "zip": [{"prefix": "W"}]}}, True),
        ({"tags": ["poetry"]}, True),
        ({"orders": {"id": [2], "total": [{"numeric": [">", 40]}]}}, True),
        ({"orders": {"id": [1], "total": [{"numeric": [">", 40]}]}}, False),
        ({"$or": [{"age": [1]}, {"active": [True]}]}, True),
        ({"$or": [{"age": [1]}, {"active": [False]}]}, False),
        ({"name": ["nobody"], "$or": [{"age": [36]}, {"active": [True]}]}, False),
        ({"address": {"$or": [{"city": ["Paris"]}, {"zip": ["W1"]}]}}, True),
        ({"name": {"first": ["Ada"]}}, False),
    ],
)
def test_keys_are_all_needed_and_alternatives_are_not(pattern: Any, expected: bool) -> None:
    """AND over keys, OR within a leaf and over $or, and one element of a list must satisfy a whole object."""
    assert matches(pattern) is expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "not json",
        '{"a": "x"}',
        '{"a": []}',
        '{"a": {}}',
        '{"a": [[1]]}',
        '{"a": [{"prefix": 1}]}',
        '{"a": [{"prefix": "x", "suffix": "y"}]}',
        '{"a": [{"unknown": 1}]}',
        '{"a": [{"numeric": ["!", 1]}]}',
        '{"a": [{"numeric": [">", "1"]}]}',
        '{"a": [{"numeric": [">", 5, "<", 1]}]}',
        '{"a": [{"numeric": ["<", 5, ">", 1]}]}',
        '{"a": [{"numeric": [">", 1000000001]}]}',
        '{"a": [{"exists": "yes"}]}',
        '{"a": [{"anything-but": []}]}',
        '{"a": [{"anything-but": {"numeric": [">", 1]}}]}',
        '{"a": [{"wildcard": "a**b"}]}',
        '{"$or": [{"a": [1]}]}',
        '{"a": ' * 200 + "[1]" + "}" * 200,
    ],
)
def test_what_is_no_pattern_is_refused_with_lambdas_text(text: str) -> None:
    """And with the place of the fault behind it."""
    with pytest.raises(InvalidPattern) as raised:
        compile_pattern(text)
    assert str(raised.value).startswith(INVALID)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "a", "ab", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)
LEAF = st.lists(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(["", "a", "ab"])
    | st.sampled_from(
        [{"prefix": "a"}, {"exists": True}, {"exists": False}, {"anything-but": ["a", 1]}, {"numeric": [">", 0]}]
    ),
    min_size=1,
    max_size=3,
)
PATTERN = st.dictionaries(
    st.sampled_from("xyz"), LEAF | st.dictionaries(st.sampled_from("xyz"), LEAF, min_size=1, max_size=2), min_size=1
)


def plainly(pattern: Any, value: Any, *, present: bool = True) -> bool:
    """A second reading of the rules, as slow and plain as can be."""
    if isinstance(pattern, dict):
        candidates = value if present and isinstance(value, list) else [value]
        return any(
            all(
                plainly(inner, one.get(key), present=key in one)
                if isinstance(one, dict)
                else plainly(inner, None, present=False)
                for key, inner in pattern.items()
            )
            for one in candidates
        )
    candidates = value if present and isinstance(value, list) else [value]
    return any(_plain_matcher(matcher, one, present) for matcher in pattern for one in candidates)


def _plain_matcher(matcher: Any, value: Any, present: bool) -> bool:
    number = isinstance(value, int) and not isinstance(value, bool)
    match matcher:
        case {"exists": wanted}:
            return (present and not isinstance(value, dict)) is wanted
        case _ if not present:
            return False
        case {"prefix": text}:
            return isinstance(value, str) and value[: len(text)] == text
        case {"numeric": [">", bound]}:
            return number and value > bound
        case {"anything-but": values}:
            scalar = isinstance(value, str | int)
            return scalar and not any(type(value) is type(other) and value == other for other in values)
        case _:
            return type(value) is type(matcher) and value == matcher


@given(PATTERN, st.dictionaries(st.sampled_from("xyz"), JSON))
def test_a_second_reading_of_the_rules_agrees(pattern: Any, event: Any) -> None:
    """Thousands of patterns against thousands of events."""
    assert matches(pattern, event) == plainly(pattern, event)
