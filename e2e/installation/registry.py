"""A registry of container images in the test's own process: what the operator and the node's containerd ask one for."""

import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_CONFIG = "application/vnd.oci.image.config.v1+json"


class Registry:
    """Images by repository and tag; everything else by digest."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._blobs: dict[str, bytes] = {}
        self._tags: dict[str, str] = {}
        self._denied: set[str] = set()

    def push(self, name: str, files: Mapping[str, bytes], *, base: Path | None = None, **config: Any) -> str:
        """An image of one layer of executable files, above those of an archive if there is one; its full name."""
        layers, below = self._base(base) if base else ([], {})
        packed = _packed(files)
        layers = [*layers, self._descriptor(_LAYER, packed)]
        diffs = [*below.get("rootfs", {}).get("diff_ids", []), _digest(gzip.decompress(packed))]
        document = {
            "os": "linux",
            "architecture": "amd64",
            "config": {**below.get("config", {}), **config},
            "rootfs": {"type": "layers", "diff_ids": diffs},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._descriptor(_CONFIG, json.dumps(document).encode()),
            "layers": layers,
        }
        self._tags[name] = self._descriptor(MANIFEST, json.dumps(manifest).encode())["digest"]
        return f"{self.address}/{name}:latest"

    def deny(self, name: str) -> str:
        """Gives nobody a repository; the full name of an image in it."""
        self._denied.add(name)
        return f"{self.address}/{name}:latest"

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, media type and content for a path."""
        if path == "/v2/":
            return 200, "application/json", b"{}"
        name, kind, reference = path.removeprefix("/v2/").rsplit("/", 2)
        if name in self._denied:
            return 403, "application/json", b"{}"
        digest = self._tags.get(name, "") if reference == "latest" else reference
        if digest not in self._blobs:
            return 404, "application/json", b"{}"
        return 200, MANIFEST if kind == "manifests" else "application/octet-stream", self._blobs[digest]

    def _base(self, archive: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        with tarfile.open(archive) as opened:

            def blob(digest: str) -> bytes:
                found = opened.extractfile(f"blobs/{digest.replace(':', '/')}")
                assert found is not None
                return found.read()

            index = opened.extractfile("index.json")
            assert index is not None
            manifest = json.loads(blob(json.load(index)["manifests"][0]["digest"]))
            for layer in manifest["layers"]:
                self._blobs[layer["digest"]] = blob(layer["digest"])
            return manifest["layers"], json.loads(blob(manifest["config"]["digest"]))

    def _descriptor(self, kind: str, data: bytes) -> dict[str, Any]:
        digest = _digest(data)
        self._blobs[digest] = data
        return {"mediaType": kind, "digest": digest, "size": len(data)}


@contextmanager
def serving(registry: Registry) -> Iterator[Registry]:
    """Until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Both of them; the head alone has the same headers."""
            status, kind, body = registry.answer(self.path.partition("?")[0])
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Docker-Content-Digest", _digest(body))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    host, _, port = registry.address.rpartition(":")
    with ThreadingHTTPServer((host, int(port)), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield registry
        server.shutdown()


def _packed(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(packed.getvalue(), mtime=0)


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
