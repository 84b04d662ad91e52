"""Archives of images: reading their names, and packing the single static programs that the node itself runs."""

import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

from progress import ClusterError

PAUSE_SOURCE = """
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void stop(int number) { (void)number; _exit(0); }
static void reap(int number) { (void)number; while (waitpid(-1, NULL, WNOHANG) > 0) {} }

/* Holds a pod's namespaces open; as PID 1 of a shared PID namespace it reaps what others left. */
int main(void) {
  struct sigaction stopping = {.sa_handler = stop}, reaping = {.sa_handler = reap, .sa_flags = SA_NOCLDSTOP};
  if (sigaction(SIGINT, &stopping, NULL) || sigaction(SIGTERM, &stopping, NULL) || sigaction(SIGCHLD, &reaping, NULL))
    return EXIT_FAILURE;
  for (;;) pause();
}
"""


def compile_pause(target: Path) -> None:
    """The program that every pod's sandbox runs."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "pause.c"
        source.write_text(PAUSE_SOURCE)
        command = ["gcc", "-Os", "-static", "-s", "-Wall", "-Werror", "-o", str(target), str(source)]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise ClusterError(f"the pause program does not compile:\n{finished.stderr}")


def pack_program(program: Path, *, image: str, user: str, archive: Path) -> None:
    """Writes a Docker archive of an image that holds `program` and runs it."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        entry = tarfile.TarInfo(program.name)
        entry.size, entry.mode = program.stat().st_size, 0o755
        with program.open("rb") as content:
            tar.addfile(entry, content)
    content_of_layer = layer.getvalue()
    configuration = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "config": {"Entrypoint": [f"/{program.name}"], "User": user},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(content_of_layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [image], "Layers": ["layer.tar"]}]
    files = {
        "config.json": json.dumps(configuration).encode(),
        "layer.tar": content_of_layer,
        "manifest.json": json.dumps(manifest).encode(),
    }
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def identity(archive: Path) -> tuple[str, str]:
    """Name and digest of the image in an OCI archive."""
    with tarfile.open(archive) as tar:
        index = tar.extractfile("index.json")
        assert index is not None
        manifest = json.load(index)["manifests"][0]
    return manifest["annotations"]["org.opencontainers.image.ref.name"], manifest["digest"]


def docker_identity(archive: Path) -> tuple[str, str]:
    """Name and id, the digest of its configuration, of the image in a Docker archive."""
    with tarfile.open(archive) as tar:
        content = tar.extractfile("manifest.json")
        assert content is not None
        manifest = json.load(content)[0]
    # `<digest>.json`, or since Docker 25 the path of a blob.
    return manifest["RepoTags"][0], f"sha256:{Path(manifest['Config']).name.removesuffix('.json')}"
