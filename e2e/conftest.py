"""A namespace of its own for every test module; what the cluster looked like is kept when a test fails."""

from collections.abc import Generator, Iterator

import pytest

from installation import diagnostics
from installation.account import Account, drop_namespace, make_account
from installation.turns import turn

_KEPT_MAX = 5
"""Failures that leave their diagnostics: a cluster that is gone fails every test."""
_kept: list[str] = []


_LONG = ("mapping", "event", "placement", "environment", "function", "control_api", "documents", "network")
"""Folders whose tests begin first: they take the longest, and everybody waits for the last one."""
_LAST = ("scaling", "release")
"""Folders whose exclusive tests end the session: they take the release away from under the others."""


def exclusive(item: pytest.Item) -> bool:
    """Whether a test needs the installation to itself."""
    return item.get_closest_marker("exclusive") is not None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of one file are one worker's. One worker has all exclusive ones, after everything else."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))
    items.sort(key=place)


def group_of(item: pytest.Item) -> str:
    """Tests with one group are one worker's, in their order. Those of documents write to the repository's folder."""
    folder = item.path.parent.name
    if exclusive(item):
        return "exclusive"
    return folder if folder == "documents" else f"{folder}/{item.path.stem}"


def place(item: pytest.Item) -> tuple[bool, int]:
    """Where a test belongs in the order of a session."""
    alone, folder = exclusive(item), item.path.parent.name
    first = (_LAST.index(folder) if folder in _LAST else -1) if alone else -(folder in _LONG)
    return alone, first


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Runs a test beside others or alone; time spent waiting for its turn is not the test's."""
    with turn(alone=exclusive(item)):
        return (yield)


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
