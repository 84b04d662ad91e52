"""The cache of one resource type, against a real API server."""

import asyncio
import logging

import pytest
from tests.integration.conftest import eventually

from kubelambda.kube import kube_client as client_module
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.reflector import Name, Reflector
from kubelambda.kube.resources import CONFIG_MAPS


def value(body: Object) -> str:
    """The part of a ConfigMap that these tests change."""
    found: str = body.get("data", {}).get("value", "")
    return found


async def test_a_watch_of_objects_that_do_not_change_is_no_fault(
    client: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is begun again in silence, and the first change after many such times is seen at once."""
    monkeypatch.setattr(client_module, "_QUIET_S", 0.2)
    caplog.set_level(logging.INFO, logger="kubelambda")
    seen: list[tuple[Name, str | None]] = []
    reflector = Reflector(
        client,
        CONFIG_MAPS,
        value,
        on_change=lambda name, _, after: seen.append((name, after)),
        namespace=namespace,
    )
    task = asyncio.create_task(reflector.run())
    try:
        await asyncio.wait_for(reflector.synced.wait(), 10)
        await asyncio.sleep(1.5)
        manifest = {"metadata": {"name": "changing"}, "data": {"value": "new"}}
        await client.create(CONFIG_MAPS, manifest, namespace)
        await eventually(lambda: seen == [((namespace, "changing"), "new")])
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert caplog.records == []
