"""Lambda's names as names of objects (§1.2.1)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.function.object_name import function_name_of, object_names

names = st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True)


@pytest.mark.parametrize("name", ["hello", "a", "my-function-2", "x" * 63])
def test_names_that_kubernetes_takes_stay(name: str) -> None:
    """What people see is what they wrote."""
    assert object_names(name)[0] == name


@given(names)
def test_every_name_has_an_object_name(name: str) -> None:
    """A DNS label of 63 characters at most."""
    for found in object_names(name):
        assert len(found) <= 63
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", found)


@given(names, names)
def test_names_that_differ_never_share_a_derived_name(one: str, other: str) -> None:
    """Case, underscores and length are all told apart."""
    if one != other:
        assert object_names(one)[-1] != object_names(other)[-1]


def test_the_spec_says_whose_object_it_is() -> None:
    """An object without that is its own."""
    assert function_name_of({"metadata": {"name": "my-function-1"}, "spec": {"functionName": "My_F"}}) == "My_F"
    assert function_name_of({"metadata": {"name": "hello"}, "spec": {}}) == "hello"
