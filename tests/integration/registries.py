"""Debian's registry as a process, with and without accounts, and artifacts that are pushed to it."""

import base64
import hashlib
import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.processes import wait_for_http
from tests.ports import free_port

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
USER, PASSWORD = "reader", "secret"
_HTPASSWD = "reader:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"


class Artifacts:
    """A registry that speaks OCI's distribution API at `host`."""

    def __init__(self, host: str, basic: str) -> None:
        self.host = host
        self._headers = {"Authorization": f"Basic {basic}"} if basic else {}

    def push(self, name: str, *layers: bytes, tag: str = "latest") -> str:
        """An artifact of some layers; its digest."""
        config = self._blob(name, b"{}")
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", **config},
            "layers": [{"mediaType": "application/octet-stream", **self._blob(name, data)} for data in layers],
        }
        body = json.dumps(document).encode()
        self._call("PUT", f"/v2/{name}/manifests/{tag}", body, MANIFEST)
        return hashlib.sha256(body).hexdigest()

    def _blob(self, name: str, data: bytes) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        location = self._call("POST", f"/v2/{name}/blobs/uploads/", b"").headers["Location"]
        path = location.removeprefix(f"http://{self.host}")
        self._call("PUT", f"{path}{'&' if '?' in path else '?'}digest={digest}", data)
        return {"digest": digest, "size": len(data)}

    def _call(self, method: str, path: str, data: bytes, kind: str = "application/octet-stream") -> Any:
        request = urllib.request.Request(f"http://{self.host}{path}", data, method=method)
        for header, value in {**self._headers, "Content-Type": kind}.items():
            request.add_header(header, value)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return answer


def pull_secret(name: str, namespace: str, host: str, password: str = PASSWORD) -> dict[str, Any]:
    """What `kubectl create secret docker-registry` makes."""
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": {".dockerconfigjson": json.dumps({"auths": {host: {"auth": auth}}})},
    }


@contextmanager
def serving_registry(folder: Path, *, accounts: bool) -> Iterator[Artifacts]:
    """Until the end of the block; with accounts, everything needs a password."""
    host = f"127.0.0.1:{free_port()}"
    folder.mkdir()
    (folder / "htpasswd").write_text(_HTPASSWD)
    content: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "blobs")}},
        "http": {"addr": host},
    }
    if accounts:
        content["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
    (folder / "config.yml").write_text(json.dumps(content))
    with (folder / "log").open("wb") as log:
        command = ["docker-registry", "serve", str(folder / "config.yml")]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for_http(f"http://{host}/v2/", 60)
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        yield Artifacts(host, basic if accounts else "")
    finally:
        process.kill()
        process.wait()
