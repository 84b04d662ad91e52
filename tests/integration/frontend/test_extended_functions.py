"""Functions with extensions: the caller has the answer, and the environment counts until the last extension is done."""

import asyncio
import hashlib
import io
from pathlib import Path
from typing import Any, cast

import pytest
from tests.behaviour.agent.extension_probe import SCRIPT, Journal, layer
from tests.eventually import eventually
from tests.integration.frontend import patience
from tests.integration.frontend.test_leases import forwards, sample, two
from tests.integration.loopback import Cluster

from kubelambda.apps import frontend as frontend_app

SOURCE = """
import os
def handler(event, context):
    return {"pid": os.getpid(), "request": context.aws_request_id}
"""


class Listening:
    """A server that listens."""

    def close(self) -> None:
        """Listens no more."""


async def extended(cluster: Cluster, journal: Journal, mode: str = "gated", **deployed: Any) -> None:
    """A function of one environment at a time, with an extension that waits for its gate after each invocation."""
    script = SCRIPT.replace('os.environ["JOURNAL"]', repr(str(journal.path)))
    data = layer("tracer", script=script.replace('os.environ.get("MODE", "")', repr(mode)))
    digest = hashlib.sha256(data).hexdigest()
    await cluster.store.put(digest, io.BytesIO(data))
    arn = "arn:aws:lambda:us-east-1:123456789012:layer:tracer:1"
    layers = [{"arn": arn, "sha256": digest, "size": len(data)}]
    await cluster.function("traced", SOURCE, layers=layers, timeout=60, **deployed)


async def test_an_environment_counts_until_its_extensions_are_done(cluster: Cluster, tmp_path: Path) -> None:
    """With one unit of concurrency the next caller is throttled until then, and gets the same environment later."""
    journal = Journal(tmp_path / "journal")
    await extended(cluster, journal, reserved=1)
    await cluster.pool(2)
    frontend = await cluster.frontend()
    first = await cluster.invoke("traced")
    assert (first.status, first.json["pid"] > 0) == (200, True)
    for _ in range(3):
        assert (await cluster.invoke("traced")).status == 429
    assert frontend.in_flight == 1
    journal.open_gate(first.json["request"])
    await eventually(lambda: frontend.in_flight == 0)
    second = await cluster.invoke("traced")
    assert (second.status, second.json["pid"]) == (200, first.json["pid"])
    journal.open_gate(second.json["request"])
    await eventually(lambda: frontend.in_flight == 0)
    labels = {"namespace": cluster.namespace, "function": "traced"}
    assert sample(frontend, "kubelambda_post_runtime_extensions_duration_seconds_count", **labels) == 2
    assert sample(frontend, "kubelambda_invocations_total", **labels) == 2
    assert len(await eventually(cluster.claimed_pods)) == 1
    assert len(journal.of("identifier")) == 1


async def test_without_a_limit_another_environment_takes_the_next(cluster: Cluster, tmp_path: Path) -> None:
    """One invocation at a time: an environment whose extension still works is no idle one."""
    journal = Journal(tmp_path / "journal")
    await extended(cluster, journal)
    await cluster.pool(2)
    frontend = await cluster.frontend()
    answers = [await cluster.invoke("traced") for _ in range(2)]
    assert len({answer.json["pid"] for answer in answers}) == 2
    assert frontend.in_flight == 2
    for answer in answers:
        journal.open_gate(answer.json["request"])
    await eventually(lambda: frontend.in_flight == 0)


async def test_concurrency_is_as_exact_through_another_frontend(cluster: Cluster, tmp_path: Path) -> None:
    """No lease is given of an environment that is not free when it has answered."""
    journal = Journal(tmp_path / "journal")
    await extended(cluster, journal, reserved=1)
    await cluster.pool(1)
    _, owning, other, holding = await two(cluster)
    for n in range(1, 4):
        answer = await cluster.invoke("traced", address=other)
        assert answer.status == 200
        assert (await cluster.invoke("traced", address=other)).status == 429
        assert forwards(holding) >= n * 2
        journal.open_gate(answer.json["request"])
        await eventually(lambda: owning.in_flight == 0)


async def test_a_drain_hands_over_environments_that_have_answered(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for their extensions; the next owner does, and gives no second invocation to them meanwhile."""
    monkeypatch.setattr(frontend_app, "PROPAGATION_S", -1)
    patience.long_adoption(monkeypatch)
    journal = Journal(tmp_path / "journal")
    await extended(cluster, journal, reserved=1)
    await cluster.pool(2)
    owner, owning, other, staying = await two(cluster)
    first = await cluster.invoke("traced", address=owner)
    assert (first.status, owning.in_flight, owning.unanswered) == (200, 1, 0)
    await cluster.heard(staying, 1)
    await asyncio.wait_for(frontend_app._drain(owning, cast("Any", Listening()), cast("Any", [])), 90)
    await cluster.crash(owner)
    cluster.members(staying, other)
    for _ in range(3):
        assert (await cluster.invoke("traced", address=other)).status == 429
    journal.open_gate(first.json["request"])
    await eventually(lambda: staying.in_flight == 0)
    second = await cluster.invoke("traced", address=other)
    assert (second.status, second.json["pid"]) == (200, first.json["pid"])
    journal.open_gate(second.json["request"])
    await eventually(lambda: staying.in_flight == 0)


async def test_an_environment_that_is_reset_is_used_again(cluster: Cluster, tmp_path: Path) -> None:
    """A crash of the extension is the caller's error once, and costs neither the environment nor its unit."""
    journal = Journal(tmp_path / "journal")
    await extended(cluster, journal, "crashes", reserved=1)
    await cluster.pool(1)
    frontend = await cluster.frontend()
    for _ in range(2):
        answer = await cluster.invoke("traced")
        assert answer.status == 200
        await eventually(lambda: frontend.in_flight == 0)
    assert len(journal.of("identifier")) == 2
    assert len(await eventually(cluster.claimed_pods)) == 1
