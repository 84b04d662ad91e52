"""A namespace of its own for every test module."""

from collections.abc import Iterator

import pytest

from installation.account import Account, drop_namespace, make_account


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the release itself come last: they take it away from under the others."""
    items.sort(key=lambda item: "test_release" in item.nodeid)


@pytest.fixture(scope="module")
def account(request: pytest.FixtureRequest) -> Iterator[Account]:
    """A namespace for the tests of one module."""
    made = make_account(request.module.__name__.rpartition(".")[2].replace("_", "-").removeprefix("test-"))
    yield made
    drop_namespace(made.namespace)


@pytest.fixture(scope="module")
def other_account() -> Iterator[Account]:
    """A second namespace."""
    made = make_account("other")
    yield made
    drop_namespace(made.namespace)
