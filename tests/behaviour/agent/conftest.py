"""Real agents as processes on loopback."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

_spec = importlib.util.spec_from_file_location("agent_environment", Path(__file__).parent / "environment.py")
assert _spec is not None
assert _spec.loader is not None
environment = importlib.util.module_from_spec(_spec)
sys.modules["agent_environment"] = environment
_spec.loader.exec_module(environment)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts an environment; it ends with the test."""
    with ExitStack() as stack:

        def starting(folder: str = "environment", **options: Any) -> Any:
            return stack.enter_context(environment.Environment(tmp_path / folder, **options))

        yield starting


@pytest.fixture
def unclaimed(start: Callable[..., Any]) -> Any:
    """An environment with a Python process that nobody claimed."""
    return start()


@pytest.fixture
def provided(start: Callable[..., Any]) -> Any:
    """An environment that runs a `bootstrap`."""
    return start(prestart="")


@pytest.fixture
def zipped() -> Callable[..., bytes]:
    """Makes archives."""
    made: Callable[..., bytes] = environment.zipped
    return made
