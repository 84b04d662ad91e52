"""Debian's registry on the node of the cluster, with a password, and the artifacts that tests push to it."""

import base64
import hashlib
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ADDRESS = "10.89.0.1:5006"
"""As the test cluster's `images.insecureRegistries` has it."""
USER, PASSWORD = "reader", "secret"
_HTPASSWD = "reader:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_AUTH = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def push(name: str, layer: bytes) -> str:
    """An artifact of one layer, tagged `latest`; its digest."""
    config, packed = _blob(name, b"{}"), _blob(name, layer)
    document = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", **config},
        "layers": [{"mediaType": "application/zip", **packed}],
    }
    body = json.dumps(document).encode()
    _call("PUT", f"/v2/{name}/manifests/latest", body, _MANIFEST)
    return hashlib.sha256(body).hexdigest()


def pull_secret(name: str) -> dict[str, Any]:
    """What `kubectl create secret docker-registry` makes."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": name},
        "stringData": {".dockerconfigjson": json.dumps({"auths": {ADDRESS: {"auth": _AUTH}}})},
    }


@contextmanager
def serving(folder: Path) -> Iterator[None]:
    """Until the end of the block. Raises `OSError` where there is no such registry, or the node is elsewhere."""
    program = shutil.which("docker-registry")
    if program is None:
        raise FileNotFoundError("docker-registry")
    (folder / "htpasswd").write_text(_HTPASSWD)
    content = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "blobs")}},
        "http": {"addr": ADDRESS},
        "auth": {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}},
    }
    (folder / "config.yml").write_text(json.dumps(content))
    process = subprocess.Popen([program, "serve", str(folder / "config.yml")], stderr=subprocess.DEVNULL)
    try:
        _answers(process)
        yield
    finally:
        process.kill()
        process.wait()


def _answers(process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            _call("GET", "/v2/", None)
        except (urllib.error.URLError, ConnectionError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise OSError(f"the registry does not answer at {ADDRESS}: {error}") from error
            time.sleep(0.1)
        else:
            return


def _blob(name: str, data: bytes) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    location = _call("POST", f"/v2/{name}/blobs/uploads/", b"")
    path = location.removeprefix(f"http://{ADDRESS}")
    _call("PUT", f"{path}{'&' if '?' in path else '?'}digest={digest}", data)
    return {"digest": digest, "size": len(data)}


def _call(method: str, path: str, data: bytes | None, kind: str = "application/octet-stream") -> str:
    """Where the answer says that things are."""
    headers = {"Authorization": f"Basic {_AUTH}", "Content-Type": kind}
    request = urllib.request.Request(f"http://{ADDRESS}{path}", data, headers, method=method)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        return str(answer.headers.get("Location", ""))
