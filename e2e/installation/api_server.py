"""What the API server says, asked by connections that stay open.

Tests wait by looking again and again. Each look by kubectl is a program that starts, reads its configuration and shakes
hands: together they took a quarter of the processors' time of a run.
"""

import base64
import http.client
import json
import ssl
import subprocess
import tempfile
import urllib.parse
from functools import cache
from pathlib import Path
from typing import Any

_GROUPS = (
    "api/v1",
    "apis/kubelambda.dev/v1alpha1",
    "apis/apps/v1",
    "apis/networking.k8s.io/v1",
    "apis/coordination.k8s.io/v1",
)
"""Where kinds are that tests look at often."""
_TIMEOUT_S = 60.0
_kept: list[http.client.HTTPSConnection] = []
"""Connections that nobody uses at the moment: as many as there ever were threads that asked at once."""


class NotAnsweredError(AssertionError):
    """The API server refused, or cannot be reached: what waits for something looks again."""


class UnknownKindError(Exception):
    """A kind of none of the groups that are known here: no wait for it would end."""


def text(path: str) -> str:
    """What is at a path."""
    for fresh in (False, True):  # one that was open may have been closed meanwhile
        try:
            return _asked(path, fresh=fresh)
        except (OSError, http.client.HTTPException) as error:
            failure = error
    raise NotAnsweredError(f"{path}: {failure!r}") from failure


def found(kinds: str, name: str = "", *, namespace: str = "", selector: str = "") -> Any:
    """One object, or the `items` of one kind or several. Without a `namespace` those of all, or what is in none."""
    if name:
        return json.loads(text(_path(kinds, namespace, name)))
    query = f"?labelSelector={urllib.parse.quote(selector)}" if selector else ""
    lists = [json.loads(text(_path(kind, namespace) + query)) for kind in kinds.split(",")]
    return {"items": [item for each in lists for item in each["items"]]}


def _path(kind: str, namespace: str, name: str = "") -> str:
    group, plural, namespaced = _kind(kind)
    place = f"namespaces/{namespace}/" if namespaced and namespace else ""
    return f"/{group}/{place}{plural}" + (f"/{name}" if name else "")


@cache
def _kind(word: str) -> tuple[str, str, bool]:
    """Group and version, plural, and whether it is in namespaces, of a kind by any of its names."""
    for group in _GROUPS:
        for each in _kinds(group):
            if word in (each["name"], each["singularName"], *each.get("shortNames", ())):
                return group, each["name"], each["namespaced"]
    raise UnknownKindError(word)


@cache
def _kinds(group: str) -> list[Any]:
    found: list[Any] = json.loads(text(f"/{group}"))["resources"]
    return found


def _asked(path: str, *, fresh: bool) -> str:
    server, headers, _ = _access()
    connection = _connection() if fresh else _free_connection()
    try:
        connection.request("GET", server.path.rstrip("/") + path, headers=headers)
        answer = connection.getresponse()
        body = answer.read().decode()
    except BaseException:
        connection.close()
        raise
    _kept.append(connection)
    if answer.status != 200:
        raise NotAnsweredError(f"{path}: {answer.status} {body[:500]}")
    return body


def _free_connection() -> http.client.HTTPSConnection:
    try:
        return _kept.pop()
    except IndexError:  # another thread may have taken the last one just now
        return _connection()


def _connection() -> http.client.HTTPSConnection:
    server, _, context = _access()
    return http.client.HTTPSConnection(server.hostname or "", server.port, timeout=_TIMEOUT_S, context=context)


@cache
def _access() -> tuple[urllib.parse.ParseResult, dict[str, str], ssl.SSLContext]:
    """Address, headers and trust of the kubeconfig's context, as kubectl has it."""
    command = ["kubectl", "config", "view", "--minify", "--raw", "--flatten", "--output", "json"]
    shown = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)
    cluster, user = shown["clusters"][0]["cluster"], shown["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    if "client-certificate-data" in user:
        with tempfile.TemporaryDirectory() as folder:
            pair = [Path(folder) / what for what in ("client-certificate-data", "client-key-data")]
            for path in pair:
                path.write_bytes(base64.b64decode(user[path.name]))
            context.load_cert_chain(*map(str, pair))
    headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    return urllib.parse.urlparse(cluster["server"]), headers, context
