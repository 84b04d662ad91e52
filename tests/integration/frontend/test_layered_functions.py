"""Functions with layers: the real frontend hands them over to real agents, small ones along, large ones by address."""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

from tests.eventually import eventually
from tests.integration.frontend.gated import answered, in_flight
from tests.integration.loopback import Cluster

SOURCE = """
import os, sys
sys.path[:0] = [os.environ["PATH"].rpartition(":")[2].removesuffix("/bin") + "/python"]
import shared, only, large

def handler(event, context):
    return [shared.name, only.name, len(large.data)]
"""


async def layer(cluster: Cluster, name: str, **files: str) -> dict[str, Any]:
    """Publishes a layer's archive, not compressed; what the operator writes of it into a deployment."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as folder:
        for module, text in files.items():
            folder.writestr(f"python/{module}.py", text)
    data = archive.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    await cluster.store.put(digest, io.BytesIO(data))
    return {"arn": f"arn:aws:lambda:us-east-1:123456789012:layer:{name}:1", "sha256": digest, "size": len(data)}


async def test_layers_are_unpacked_in_their_order(cluster: Cluster) -> None:
    """A later one wins file by file; one of more than a megabyte is fetched by the agent itself, in its place."""
    layers = [
        await layer(cluster, "first", shared="name = 'first'", only="name = 'only'"),
        await layer(cluster, "large", shared="name = 'large'", large=f"data = '{'x' * 1_500_000}'"),
        await layer(cluster, "last", shared="name = 'last'"),
    ]
    await cluster.function("layered", SOURCE, layers=layers)
    await cluster.pool(1)
    await cluster.frontend()
    answer = await cluster.invoke("layered")
    assert (answer.status, answer.json) == (200, ["last", "only", 1_500_000])


LARGE = f"data = '{'x' * 1_500_000}'"
READS = """
import os, sys
sys.path[:0] = [os.environ["PATH"].rpartition(":")[2].removesuffix("/bin") + "/python"]
import large, os, time

def handler(event, context):
    if event:
        open(f"{event}/{context.aws_request_id}", "w").close()
        while not os.path.exists(f"{event}/go"):
            time.sleep(0.02)
    return large.name if hasattr(large, "name") else len(large.data)
"""


def holds(cluster: Cluster, pod: str, text: str = "data") -> bool:
    """Whether a pod has a layer's module."""
    module = cluster.agents.folder / pod / "opt/python/large.py"
    return module.exists() and module.stat().st_size > 1_000_000 and module.read_text().startswith(text)


async def test_the_next_environment_has_its_layers_already(cluster: Cluster, tmp_path: Path) -> None:
    """Once a function with large layers was started, an idle environment unpacks them, and is taken for the next."""
    layers = [await layer(cluster, "large", large=LARGE)]
    await cluster.function("layered", READS, layers=layers, timeout=60)
    await cluster.function("plain", "def handler(event, context):\n    return 'plain'", revision="b" * 16)
    pods = await cluster.pool(3)
    await cluster.frontend()
    assert (await cluster.invoke("layered")).json == 1_500_000

    async def held() -> str:
        idle = await cluster.pool_pods()
        found = [pod for pod in idle if holds(cluster, pod)]
        return found[0] if len(idle) == 2 and found else ""

    ahead = await eventually(held)
    assert (await cluster.invoke("plain")).json == "plain"  # leaves it alone
    first = await in_flight(cluster, "layered", 2, tmp_path / "calls")
    assert [answer.json for answer in await answered(first, tmp_path / "calls")] == [1_500_000] * 2

    async def claimed() -> bool:
        return sorted(await cluster.claimed_pods()) == sorted(pods)

    await eventually(claimed)
    assert ahead in pods


async def test_an_environment_lets_go_of_layers_that_are_not_its_functions(cluster: Cluster) -> None:
    """The only one that is left holds those of another function."""
    await cluster.function("one", READS, layers=[await layer(cluster, "one", large=f"name = 'one'\n{LARGE}")])
    other = await layer(cluster, "other", large=f"name = 'other'\n{LARGE}")
    await cluster.function("other", READS, layers=[other], revision="b" * 16)
    pods = await cluster.pool(2)
    await cluster.frontend()
    assert (await cluster.invoke("one")).json == "one"

    async def held() -> bool:
        return any(holds(cluster, pod, "name = 'one'") for pod in await cluster.pool_pods())

    await eventually(held)
    assert (await cluster.invoke("other")).json == "other"

    async def claimed() -> bool:
        return sorted(await cluster.claimed_pods()) == sorted(pods)

    await eventually(claimed)
