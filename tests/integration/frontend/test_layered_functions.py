"""Functions with layers: the real frontend hands them over to real agents, small ones along, large ones by address."""

import hashlib
import io
import zipfile
from typing import Any

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
