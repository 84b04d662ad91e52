"""A namespace of its own for every test module; what the cluster looked like is kept when a test fails."""

from collections.abc import Generator, Iterator

import pytest

from installation import diagnostics
from installation.account import Account, drop_namespace, make_account

_KEPT_MAX = 5
"""Failures that leave their diagnostics: a cluster that is gone fails every test."""
_kept: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the release itself come last: they take it away from under the others."""
    items.sort(key=lambda item: any(name in item.nodeid for name in ("test_release", "test_target_tracking")))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keeps logs, events and pod states of a failure, and says where."""
    report = yield
    if report.failed and len(_kept) < _KEPT_MAX:
        _kept.append(item.nodeid)
        report.sections.append(("diagnostics", f"the cluster's state is in {diagnostics.collect(item.nodeid)}"))
    return report


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
