"""Raw JSON calls to the API server.

Dicts in, dicts out: decoding into the generated models costs 16 times as much as a narrow view of our own.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Self
from urllib.parse import quote, urlencode

from kubelambda.kube.api_server import Server, from_kubeconfig, in_cluster
from kubelambda.kube.errors import NotFound, Unreachable, status_error
from kubelambda.kube.fair_slots import FairSlots
from kubelambda.kube.lines import lines
from kubelambda.kube.resources import Resource
from kubelambda.wire.session import Session

type Object = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
_TIMEOUT_S = 30.0
QUIET_S = 75.0
"""Longer than the minute between two bookmarks of objects that do change."""
_IDLE_S = 60.0
"""A claim comes out of the blue, and a new connection takes as long as the claim; the API server waits for 90 s."""
_CALLS = 48
"""At once, beside watches."""
_CALLS_PER_NAMESPACE = 16
_ANSWER_MAX_BYTES = 1 << 28
"""Of all pods of a large cluster in one list."""
_PAGE_FIRST = 10
_PAGE_MOST = 1000
_PAGE_BYTES = 4 << 20
"""A Function may carry a megabyte of code: pages of some number of them would be of any size."""


class KubeClient:
    """One session with the API server. Every method raises `kubelambda.kube.errors.KubeError`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._session = Session(server.url, tls=server.tls, idle_s=_IDLE_S)
        self._slots: FairSlots[str] = FairSlots(_CALLS_PER_NAMESPACE, _CALLS)

    @classmethod
    async def connect(cls, kubeconfig: str | None = None) -> Self:
        """Connects with `kubeconfig`, or as the pod's service account. Makes no call yet."""
        return cls(in_cluster() if kubeconfig is None else await from_kubeconfig(kubeconfig))

    async def close(self) -> None:
        """Closes the session."""
        await self._session.close()

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object:
        """One object."""
        return await self._json("GET", resource.path(namespace, name))

    async def find(self, resource: Resource, name: str, namespace: str | None = None) -> Object | None:
        """One object, or None when it is not there."""
        try:
            return await self.get(resource, name, namespace)
        except NotFound:
            return None

    async def list(self, resource: Resource, namespace: str | None = None, *, label_selector: str = "") -> Object:
        """All objects, of one namespace or of all, from the API server's watch cache."""
        query = {"resourceVersion": "0"} | _selector(label_selector)
        return await self._json("GET", resource.path(namespace), query)

    async def each(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        first: int = _PAGE_FIRST,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[Object]:
        """All objects, of one namespace or of all, a page at a time: thousands are never in memory at once.

        The first page has `first` of them. Raises `Gone` when the list changed too much between two pages.
        """
        pages = self.pages(
            resource, namespace, first=first, label_selector=label_selector, field_selector=field_selector
        )
        async for page in pages:
            for item in page["items"]:
                yield item

    async def pages(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        first: int = _PAGE_FIRST,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[Object]:
        """The lists that make up all objects, each of about `_PAGE_BYTES` whatever the objects carry; see `each`.

        The resource version of the last one is where a watch goes on.
        """
        limit, token = first, None
        while True:
            selected = _selector(label_selector, field_selector)
            query = {"limit": str(limit)} | selected | ({"continue": token} if token else {})
            body = await self._bytes("GET", resource.path(namespace), query)
            page = _parsed("GET", resource.path(namespace), body)
            yield page
            token = page["metadata"].get("continue")
            if not token:
                return
            limit = max(1, min(_PAGE_MOST, limit * _PAGE_BYTES // max(1, len(body))))

    async def page(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        limit: int,
        token: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
    ) -> tuple[Sequence[Object], str | None]:
        """At most `limit` objects after those of the page that `token` came from, and the next page's token.

        Raises `Gone` when that page is too long ago.
        """
        query = {"limit": str(limit)} | _selector(label_selector, field_selector)
        query |= {"continue": token} if token else {}
        found = await self._json("GET", resource.path(namespace), query)
        return found["items"], found["metadata"].get("continue") or None

    async def watch(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        resource_version: str,
        label_selector: str,
        seconds: int,
        field_selector: str = "",
        quiet_seconds: float = QUIET_S,
    ) -> AsyncIterator[Object]:
        """Watch events after `resource_version`, bookmarks included, until the server ends the stream after `seconds`.

        It also ends after `quiet_seconds` without a word: nobody can tell a dead stream from one of objects that do not
        change, of which the server sends no bookmarks either; the next watch can. Raises `Unreachable`.
        """
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(seconds),
        } | _selector(label_selector, field_selector)
        target = _target(resource.path(namespace), query)
        begun = False
        try:
            async with self._session.read(target, await self._headers(), seconds=_TIMEOUT_S) as answer:
                if answer.status >= 400:
                    raise status_error(answer.status, _message(await answer.whole(_TIMEOUT_S)))
                begun = True
                async for line in lines(answer.pieces(quiet_seconds)):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise status_error(event["object"].get("code", 500), event["object"].get("message", ""))
                    yield event
        except OSError as error:
            if not begun or not isinstance(error, TimeoutError):
                raise Unreachable(f"watch of {resource.plural}: {error or type(error).__name__}") from error

    async def create(
        self,
        resource: Resource,
        manifest: Mapping[str, Any],
        namespace: str | None = None,
        *,
        query: Mapping[str, str] | None = None,
    ) -> Object:
        """Creates an object."""
        return await self._json("POST", resource.path(namespace), query, body=manifest)

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Mapping[str, Any],
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        content_type: str = MERGE_PATCH,
        query: Mapping[str, str] | None = None,
    ) -> Object:
        """Patches an object or one of its subresources."""
        path = resource.path(namespace, name, subresource)
        return await self._json("PATCH", path, query, body=patch, content_type=content_type)

    async def apply(
        self,
        resource: Resource,
        manifest: Mapping[str, Any],
        *,
        manager: str,
        subresource: str | None = None,
        force: bool = True,
    ) -> Object:
        """Server-side apply. `manager` takes over the fields it names from whoever set them before.

        Without `force` that is a `Conflict`, as a resource version in the manifest that is not the present one is.
        """
        metadata = manifest["metadata"]
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **manifest}
        return await self.patch(
            resource,
            metadata["name"],
            body,
            metadata.get("namespace"),
            subresource=subresource,
            content_type=APPLY_PATCH,
            query={"fieldManager": manager, "force": "true" if force else "false"},
        )

    async def delete(
        self, resource: Resource, name: str, namespace: str | None = None, *, grace_seconds: int | None = None
    ) -> None:
        """Deletes an object, its dependents in the background. `NotFound` when it is gone already."""
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        await self._json("DELETE", resource.path(namespace, name), body=body)

    async def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        answer = await self._bytes(method, path, query, body=body, content_type=content_type)
        return _parsed(method, path, answer)

    async def _bytes(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        data = json.dumps(body).encode() if body is not None else b""
        try:
            async with self._slots.hold(_namespace(path)):
                headers = await self._headers(content_type)
                status, _, answer = await self._session.call(
                    method, _target(path, query), headers, data, seconds=_TIMEOUT_S, limit=_ANSWER_MAX_BYTES
                )
        except OSError as error:
            raise Unreachable(f"{method} {path}: {error or type(error).__name__}") from error
        if status >= 400:
            raise status_error(status, _message(answer))
        return answer

    async def _headers(self, content_type: str = "application/json") -> dict[str, str]:
        own = {"Content-Type": content_type, "Accept": "application/json", "User-Agent": "kubelambda"}
        return own | await self._server.credentials()


def _target(path: str, query: Mapping[str, str] | None) -> str:
    """Path and query; a name may be anything that somebody asks for."""
    target = quote(path, safe="/-._~:@!$&'()*+,;=")
    return f"{target}?{urlencode(query)}" if query else target


def _namespace(path: str) -> str:
    """The namespace that a call is about; empty for those that are about none."""
    _, found, rest = path.partition("/namespaces/")
    return rest.partition("/")[0] if found else ""


def _selector(label_selector: str, field_selector: str = "") -> dict[str, str]:
    given = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {name: value for name, value in given.items() if value}


def _parsed(method: str, path: str, answer: bytes) -> Object:
    try:
        found: Object = json.loads(answer)
    except ValueError as error:  # a proxy may answer in HTML
        raise Unreachable(f"{method} {path}: {error}") from error
    return found


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")
