"""Whose archives are fetched: the objects that may name a source, and what is known to be theirs already."""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from kubelambda.api.kinds.function import FunctionSpec
from kubelambda.api.kinds.function_code import Code
from kubelambda.api.kinds.layer import LayerContent, LayerSpec
from kubelambda.controllers.code.code_state import CodeState, WantedArchive
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS
from kubelambda.controllers.layer.layer_facts import WATCHED_LAYER_VERSIONS
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.core.code.remote_source import OciSource, S3Source
from kubelambda.kube.errors import NotFound
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import FUNCTIONS, LAYERS, Resource


def wanted_archive(code: Code | LayerContent) -> WantedArchive | None:
    """What is to be fetched; None where the code is in the object, or in the cluster."""
    if code.url is not None:
        return WantedArchive(code.url, code.sha256)
    if code.s3_bucket is not None:
        return WantedArchive(S3Source(code.s3_bucket, code.s3_key or "", code.s3_object_version), code.sha256)
    if code.oci is not None:
        secret = code.oci.pull_secret.name if code.oci.pull_secret else None
        return WantedArchive(OciSource(code.oci.reference, secret), code.sha256)
    return None


def _of_function(spec: Object) -> WantedArchive | None:
    return wanted_archive(FunctionSpec.model_validate(spec).code)


def _of_layer(spec: Object) -> WantedArchive | None:
    return wanted_archive(LayerSpec.model_validate(spec).content)


@dataclass(frozen=True, slots=True)
class CodeOrigin:
    """A kind whose objects name archives."""

    resource: Resource
    wanted: Callable[[Object], WantedArchive | None]
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


async def wanted_by(context: Context, key: Key) -> WantedArchive | None:
    """What a Function or Layer says now; None for one that is gone, or names nothing to fetch."""
    origin = ORIGINS[key.kind]
    try:
        body = await context.client.get(origin.resource, key.name, key.namespace)
        return origin.wanted(body["spec"])
    except (NotFound, ValidationError):
        return None


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
