"""Patterns of event filters, compiled once and matched often (§7.8).

A pattern is an object. A key with an object goes one level down, a key with a list is a leaf whose matchers are
alternatives, and all keys of one object must hold; `$or` has alternatives of whole objects. A list in the event matches
when one of its elements does. A field that is not there matches `{"exists": false}` and nothing else.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

INVALID: Final = "Invalid filter pattern definition."
_NUMERIC_LIMIT: Final = 1e9
_DEPTH_MAX: Final = 100

type Test = Callable[[Any], bool]
"""Whether a value, or `MISSING`, matches."""


class InvalidPattern(Exception):
    """The pattern is none. The message begins with Lambda's text and says where the fault is."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{INVALID} ({where or 'the pattern'}: {what})")


class _Missing:
    """The value of a field that is not there."""

    __slots__ = ()


MISSING: Final = _Missing()


def compile_pattern(text: str) -> Test:
    """The test that a pattern, as JSON, stands for. Raises `InvalidPattern`."""
    try:
        pattern = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidPattern("", f"it is no JSON: {error}") from error
    if not isinstance(pattern, dict) or not pattern:
        raise InvalidPattern("", "it is no object with at least one key")
    return _object(pattern, "", 0)


def _object(pattern: Mapping[str, Any], where: str, depth: int) -> Test:
    if depth > _DEPTH_MAX:
        raise InvalidPattern(where, "it is nested too deeply")
    if not pattern:
        raise InvalidPattern(where, "an empty object")
    fields, alternatives = [], []
    for key, value in pattern.items():
        place = f"{where}.{key}" if where else key
        if key == "$or" and _are_alternatives(value):
            alternatives = [_object(one, f"{place}[{number}]", depth + 1) for number, one in enumerate(value)]
        else:
            fields.append((key, _field(value, place, depth)))

    def test_one(found: Any) -> bool:
        known = found if isinstance(found, dict) else {}
        for key, test in fields:
            if not test(known.get(key, MISSING)):
                return False
        return not alternatives or any(test(found) for test in alternatives)

    def test(found: Any) -> bool:
        if isinstance(found, list):
            return any(map(test_one, found))
        return test_one(found)

    return test


def _are_alternatives(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(isinstance(one, dict) for one in value)


def _field(value: Any, place: str, depth: int) -> Test:
    if isinstance(value, dict):
        return _object(value, place, depth + 1)
    if isinstance(value, list) and value:
        return _leaf(value, place)
    raise InvalidPattern(place, "neither an object nor a list of at least one matcher")


def _leaf(matchers: Sequence[Any], where: str) -> Test:
    tests = [_matcher(matcher, where) for matcher in matchers]
    only = tests[0] if len(tests) == 1 else None

    def test_one(found: Any) -> bool:
        return any(test(found) for test in tests)

    one = only or test_one

    def test(found: Any) -> bool:
        if isinstance(found, list):
            return any(map(one, found))
        return one(found)

    return test


def _matcher(matcher: Any, where: str) -> Test:
    if matcher is None:
        return lambda found: found is None
    if isinstance(matcher, bool):
        return lambda found: found is matcher
    if isinstance(matcher, int | float):
        return lambda found: _is_number(found) and found == matcher
    if isinstance(matcher, str):
        return lambda found: isinstance(found, str) and found == matcher
    if isinstance(matcher, dict) and len(matcher) == 1:
        ((kind, argument),) = matcher.items()
        build = _KINDS.get(kind)
        if build is not None:
            return build(argument, where)
        raise InvalidPattern(where, f"there is no matcher {kind!r}")
    raise InvalidPattern(where, "a matcher is a value, or an object with exactly one key")


def _text(argument: Any, where: str, kind: str) -> str:
    if not isinstance(argument, str):
        raise InvalidPattern(where, f"{kind} needs a text")
    return argument


def _prefix(argument: Any, where: str) -> Test:
    text = _text(argument, where, "prefix")
    return lambda found: isinstance(found, str) and found.startswith(text)


def _suffix(argument: Any, where: str) -> Test:
    text = _text(argument, where, "suffix")
    return lambda found: isinstance(found, str) and found.endswith(text)


def _equals_ignore_case(argument: Any, where: str) -> Test:
    text = _text(argument, where, "equals-ignore-case").lower()
    return lambda found: isinstance(found, str) and found.lower() == text


def _wildcard(argument: Any, where: str) -> Test:
    """`*` stands for any text. Matched piece by piece: no pattern makes it take longer than the text is."""
    text = _text(argument, where, "wildcard")
    if "**" in text:
        raise InvalidPattern(where, "two wildcards in a row")
    first, *rest = text.split("*")
    if not rest:
        return lambda found: isinstance(found, str) and found == text
    *middle, last = rest

    def test(found: Any) -> bool:
        if not isinstance(found, str) or not found.startswith(first) or not found.endswith(last):
            return False
        at, end = len(first), len(found) - len(last)
        for piece in middle:
            at = found.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return at <= end

    return test


def _anything_but(argument: Any, where: str) -> Test:
    """Presence is required, of a value that no list, object or null is."""
    if isinstance(argument, dict):
        if len(argument) != 1:
            raise InvalidPattern(where, "anything-but holds exactly one matcher")
        ((kind, inner),) = argument.items()
        build = _NEGATED.get(kind)
        if build is None:
            raise InvalidPattern(where, f"anything-but holds no {kind!r}")
        tests = [build(one, where) for one in (inner if isinstance(inner, list) else [inner])]
        return lambda found: isinstance(found, str) and not any(test(found) for test in tests)
    values = argument if isinstance(argument, list) else [argument]
    if not values or not all(_is_number(value) or isinstance(value, str) for value in values):
        raise InvalidPattern(where, "anything-but needs a text, a number, or a list of them")
    return lambda found: (
        (_is_number(found) or isinstance(found, str | bool))
        and not any(
            type(found) is not bool and found == value and isinstance(found, str) == isinstance(value, str)
            for value in values
        )
    )


_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "=": lambda a, b: a == b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


def _numeric(argument: Any, where: str) -> Test:
    if not isinstance(argument, list) or len(argument) not in (2, 4):
        raise InvalidPattern(where, 'numeric needs one or two comparisons: ["=", 5] or [">", 10, "<=", 20]')
    comparisons = [(argument[index], argument[index + 1]) for index in range(0, len(argument), 2)]
    for operator, bound in comparisons:
        if operator not in _COMPARE:
            raise InvalidPattern(where, f"numeric knows no {operator!r}")
        if not _is_number(bound) or abs(bound) > _NUMERIC_LIMIT:
            raise InvalidPattern(where, "numeric compares with numbers between -10^9 and 10^9")
    if len(comparisons) == 2:
        (low, least), (high, most) = comparisons
        if low not in (">", ">=") or high not in ("<", "<=") or least >= most:
            raise InvalidPattern(where, "a range goes from a lower to a higher bound")
    tests = [(_COMPARE[operator], bound) for operator, bound in comparisons]
    return lambda found: _is_number(found) and all(compare(found, bound) for compare, bound in tests)


def _exists(argument: Any, where: str) -> Test:
    if argument is True:
        return lambda found: found is not MISSING and not isinstance(found, dict)
    if argument is False:
        return lambda found: found is MISSING or isinstance(found, dict)
    raise InvalidPattern(where, "exists is true or false")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_KINDS: Mapping[str, Callable[[Any, str], Test]] = {
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _equals_ignore_case,
    "wildcard": _wildcard,
    "anything-but": _anything_but,
    "numeric": _numeric,
    "exists": _exists,
}
_NEGATED: Mapping[str, Callable[[Any, str], Test]] = {
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _equals_ignore_case,
    "wildcard": _wildcard,
}
