"""What a replica of the operator leads by once it has waited for its lease."""

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest

from kubelambda.apps import leading_operator
from kubelambda.controllers.machinery import hosting
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.health import Health, Vitals
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.lease import LeaderLease


async def test_a_replica_leads_by_the_settings_that_were_checked_at_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade with wrong settings stops at its first pod; the old replicas, whose file says the same, go on."""
    found: list[str] = []

    async def hosted(context: Context, *_: Any, **__: Any) -> None:
        found.append(context.settings.region)

    monkeypatch.setattr(hosting, "lead", hosted)
    path = tmp_path / "settings.json"
    path.write_text("{")
    vitals = Vitals()
    await leading_operator.lead(
        argparse.Namespace(settings=path, kubeconfig=None, frontend_service="frontend"),
        cast("KubeClient", None),
        cast("LeaderLease", None),
        content=json.dumps({"region": "eu-west-1"}).encode(),
        key=b"k" * 32,
        vitals=vitals,
        health=Health(vitals),
        stop=asyncio.Event(),
    )
    assert found == ["eu-west-1"]
