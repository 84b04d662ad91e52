"""Sizes of our images as the node holds them; an image, and layers, of a size."""

import os
import random
from pathlib import Path

from e2e.installation.registry import Registry

from bench.cluster import kubectl_json

ARCHIVES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubelambda" / "images"
_APP = b"def handler(event, context):\n    return {'hello': event.get('name', 'world')}\n"
_FILE_BYTES = 50_000


def sizes_mb() -> dict[str, float]:
    """Size in MB of every kubelambda image on the first node, by name."""
    found: dict[str, float] = {}
    for image in kubectl_json("get", "nodes")["items"][0]["status"].get("images", []):
        for name in image.get("names") or []:
            if "/kubelambda/" in name and "@" not in name:
                found[name.rpartition("/")[2].partition(":")[0]] = image["sizeBytes"] / 1e6
    return dict(sorted(found.items()))


def pushed_function(registry: Registry, megabytes: int) -> str:
    """A function as a container image of so many MB: the official client behind its entry point, and an app."""
    base = max(ARCHIVES.glob("runtime-python3.13-*.tar"), key=lambda archive: archive.stat().st_mtime)
    filler = os.urandom(max(megabytes * 1_000_000 - base.stat().st_size, 0))
    files = {"var/task/app.py": _APP, "var/task/filler": filler}
    command = {"Entrypoint": ["/lambda-entrypoint.sh"], "Cmd": ["app.handler"], "WorkingDir": "/var/task"}
    return registry.push("bench/app", files, base=base, **command)


def library(name: str, size: int) -> dict[str, bytes]:
    """The files of a Python library of `size` bytes for a layer: half of each file cannot be packed."""
    half = _FILE_BYTES // 2
    text = (f"# {name}\n" * half).encode()[:half]
    chance = random.Random(name)
    return {f"python/{name}/part{number}.py": text + chance.randbytes(half) for number in range(size // _FILE_BYTES)}
