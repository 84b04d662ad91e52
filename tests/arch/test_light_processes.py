"""What a process does not need it does not import: a module stays in the memory of every replica."""

import subprocess
import sys

import pytest

HEAVY = {
    "code_store": {"aiohttp", "pydantic", "kopf", "prometheus_client", "uvloop"},
    "operator": {"aiohttp", "pydantic", "kopf", "kubelambda.controllers.registry"},
    "frontend": {"aiohttp", "kopf", "kubernetes", "kubelambda.api.kinds.function", "kubelambda.api.kinds.access_point"},
    "awsapi": {"aiohttp", "pydantic", "kopf", "uvloop"},
}
"""By component. A frontend reads what is deployed, and needs no models of what people write. An operator that waits for
its lease is meant: it imports what leads once it has it."""


@pytest.mark.parametrize("component", HEAVY)
def test_a_process_imports_only_what_it_needs(component: str) -> None:
    """In a process of its own: what the tests import is no part of it."""
    code = f"import sys, kubelambda.apps.{component}; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True, text=True).stdout
    assert not HEAVY[component] & set(found.split())
