"""Whose archives are fetched: the objects that may name an address, and what is known to be theirs already."""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from kubelambda.api.kinds.function import FunctionSpec
from kubelambda.api.kinds.layer import LayerSpec
from kubelambda.controllers.code.code_state import CodeState
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS
from kubelambda.controllers.layer.layer_facts import WATCHED_LAYER_VERSIONS
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.kube.errors import NotFound
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import FUNCTIONS, LAYERS, Resource

type Address = tuple[str, str]
"""Address and digest of an archive."""


def _of_function(spec: Object) -> tuple[str | None, str | None]:
    code = FunctionSpec.model_validate(spec).code
    return code.url, code.sha256


def _of_layer(spec: Object) -> tuple[str | None, str | None]:
    content = LayerSpec.model_validate(spec).content
    return content.url, content.sha256


@dataclass(frozen=True, slots=True)
class CodeOrigin:
    """A kind whose objects name archives."""

    resource: Resource
    address: Callable[[Object], tuple[str | None, str | None]]
    """What a spec says. Raises `ValidationError`."""


ORIGINS: Mapping[str, CodeOrigin] = {
    "Function": CodeOrigin(FUNCTIONS, _of_function),
    "Layer": CodeOrigin(LAYERS, _of_layer),
}
"""By the kind of their keys."""

DOWNLOADS: Mapping[str, str] = {"Download": "Function", "LayerDownload": "Layer"}
"""Kind of the key of a download, and of who asks for it."""


def download_of(key: Key) -> Key:
    """The download that a Function or Layer asks for."""
    kind = next(download for download, origin in DOWNLOADS.items() if origin == key.kind)
    return Key(kind, key.namespace, key.name)


def asker_of(download: Key) -> Key:
    """The Function or Layer that a download is for."""
    return Key(DOWNLOADS[download.kind], download.namespace, download.name)


async def wanted_address(context: Context, key: Key) -> Address | None:
    """What a Function or Layer says now; None for one that is gone, or names no address."""
    origin = ORIGINS[key.kind]
    try:
        body = await context.client.get(origin.resource, key.name, key.namespace)
        url, sha256 = origin.address(body["spec"])
    except (NotFound, ValidationError):
        return None
    return (url, sha256) if url is not None and sha256 is not None else None


def may_have(state: CodeState, context: Context, key: Key, sha256: str) -> bool:
    """Whether a Function or Layer may have an archive of the store without fetching it.

    It did so before, or somebody of its namespace.
    """
    if state.has_fetched(key.namespace, sha256):
        return True
    if key.kind == "Function":
        function = context.cluster[WATCHED_FUNCTIONS].get(key.namespace, key.name)
        return function is not None and function.sha256 == sha256
    signature = state.store.upload_signature(key.namespace, sha256)
    return any(
        facts.layer == key.name and facts.sha256 == sha256 and hmac.compare_digest(facts.signature, signature)
        for _, facts in context.cluster[WATCHED_LAYER_VERSIONS].within(key.namespace)
    )
