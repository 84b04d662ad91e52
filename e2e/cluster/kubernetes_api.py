"""A list and watch client for the small programs beside the cluster: standard library only."""

import http.client
import json
import ssl
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

import certificates
from settings import API_PORT

Object = dict[str, Any]

T = TypeVar("T")
_RETRY_SECONDS = 0.5
_WATCH_SECONDS = 300


class ApiError(Exception):
    """The API server answered something else than was hoped for."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text[:300]}")
        self.status = status


def connect(timeout: float | None = 30) -> http.client.HTTPSConnection:
    """A connection as the cluster's administrator."""
    context = ssl.create_default_context(cafile=certificates.AUTHORITY)
    context.load_cert_chain(certificates.ADMIN.path, certificates.ADMIN.key)
    return http.client.HTTPSConnection("127.0.0.1", API_PORT, timeout=timeout, context=context)


def call(method: str, path: str, body: Object | None = None) -> Object:
    """One request."""
    connection = connect()
    try:
        content = None if body is None else json.dumps(body)
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        connection.request(method, path, content, {"Content-Type": kind, "Accept": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    if answer.status >= 300:
        raise ApiError(answer.status, text)
    decoded: Object = json.loads(text)
    return decoded


class Store(Generic[T]):
    """What there is of one resource, kept current by a thread; `parse` keeps only what is needed, or nothing."""

    def __init__(self, path: str, parse: Callable[[Object], T | None], changed: threading.Event) -> None:
        self._path = path
        self._parse = parse
        self._changed = changed
        self._items: dict[str, T] = {}
        self._lock = threading.Lock()
        self.synced = False

    def start(self) -> None:
        """Begins to watch."""
        threading.Thread(target=self._run, daemon=True).start()

    def items(self) -> list[T]:
        """A snapshot."""
        with self._lock:
            return list(self._items.values())

    def _run(self) -> None:
        while True:
            try:
                self._watch(self._list())
            except (OSError, http.client.HTTPException, ApiError, json.JSONDecodeError) as error:
                print(f"{self._path}: {error}", file=sys.stderr, flush=True)
                time.sleep(_RETRY_SECONDS)

    def _list(self) -> str:
        listed = call("GET", self._path)
        parsed = {item["metadata"]["uid"]: self._parse(item) for item in listed["items"]}
        with self._lock:
            self._items = {uid: value for uid, value in parsed.items() if value is not None}
            self.synced = True
        self._changed.set()
        return str(listed["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> None:
        """Until the server ends the stream or says that the version is too old; the caller lists again."""
        query = {
            "watch": "1",
            "resourceVersion": version,
            "timeoutSeconds": _WATCH_SECONDS,
            "allowWatchBookmarks": "true",
        }
        connection = connect(timeout=_WATCH_SECONDS + 30)
        try:
            connection.request("GET", f"{self._path}?{urlencode(query)}", headers={"Accept": "application/json"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise ApiError(answer.status, answer.read().decode())
            while line := answer.readline():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                if event["type"] != "BOOKMARK":
                    self._take(event["type"], event["object"])
        finally:
            connection.close()

    def _take(self, kind: str, item: Object) -> None:
        value = None if kind == "DELETED" else self._parse(item)
        uid = item["metadata"]["uid"]
        with self._lock:
            before = self._items.pop(uid, None)
            if value is not None:
                self._items[uid] = value
        if value != before:
            self._changed.set()
