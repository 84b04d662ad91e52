"""Fetches code that is an OCI artifact: one layer, a zip or tar archive, by the digests that its manifest names."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final

import aiohttp
from pydantic import IPvAnyNetwork

from kubelambda.api import limits
from kubelambda.core.code.image_manifest import INDEXES, MANIFESTS
from kubelambda.core.code.image_reference import ImageReference, parse_image
from kubelambda.core.code.invalid_archive import too_large
from kubelambda.core.code.remote_source import FetchFailed, FetchFailure, OciSource
from kubelambda.core.function.observation import Problem
from kubelambda.kube.kube_client import KubeClient
from kubelambda.outbound.registry_session import (
    RegistrySession,
    UnreadableDocument,
    basic_credentials,
    http_session,
    json_document,
    limited_body,
)
from kubelambda.outbound.service_credentials import CredentialsMissing, read_secret

_LIMIT: Final = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=15)
_ACCEPT: Final = {"Accept": ", ".join((*MANIFESTS, *INDEXES))}
_CHUNK_BYTES: Final = 1 << 18
_DOCKER_LOGIN: Final = ".dockerconfigjson"


@dataclass(frozen=True, slots=True)
class OciRegistries:
    """How registries are reached. Credentials are those of pull Secrets alone."""

    client: KubeClient
    refused: Sequence[IPvAnyNetwork]
    insecure: Sequence[str]

    async def fetch(self, namespace: str, source: OciSource, file: IO[bytes]) -> str:
        """Writes the layer of an artifact to an empty `file`; the artifact by its digest. Raises `FetchFailed`."""
        reference = parse_image(source.reference)
        if isinstance(reference, Problem):
            text = f"{source.reference} names no artifact: registry/repository:tag or @sha256:digest is needed"
            raise FetchFailed(FetchFailure.REFUSED, text)
        basic = await self._credentials(namespace, source, reference)
        try:
            async with http_session(self.refused, _LIMIT) as session:
                registry = RegistrySession(session, reference, basic=basic, insecure_registries=self.insecure)
                digest, layer = await _manifest(registry, source, reference)
                await _blob(registry, source, layer, file)
        except UnreadableDocument as error:
            raise FetchFailed(FetchFailure.INVALID, f"{source.name}: {error}") from error
        except (aiohttp.ClientError, ValueError, TimeoutError, OSError) as error:
            text = f"{source.name} cannot be fetched: {error or type(error).__name__}"
            raise FetchFailed(FetchFailure.UNAVAILABLE, text) from error
        return reference.pinned(digest)

    async def _credentials(self, namespace: str, source: OciSource, reference: ImageReference) -> str:
        if source.pull_secret is None:
            return ""
        try:
            found = (await read_secret(self.client, namespace, source.pull_secret)).get(_DOCKER_LOGIN)
        except CredentialsMissing as error:
            raise FetchFailed(FetchFailure.DENIED, f"{source.name}: pullSecret: {error}") from error
        if found is None:
            text = f"{source.name}: Secret {source.pull_secret} has no key {_DOCKER_LOGIN}"
            raise FetchFailed(FetchFailure.DENIED, text)
        return basic_credentials(found.encode(), reference.host)


async def _manifest(registry: RegistrySession, source: OciSource, reference: ImageReference) -> tuple[str, str]:
    """Digest of the manifest, and of its only layer."""
    async with registry.ask(f"manifests/{reference.wanted}", _ACCEPT) as answer:
        _check(source, answer.status)
        body = await limited_body(answer)
    digest = hashlib.sha256(body).hexdigest()
    if reference.digest and digest != reference.digest:
        raise FetchFailed(FetchFailure.INVALID, f"the registry has something else under sha256:{reference.digest}")
    return digest, _only_layer(source, json_document(body))


def _only_layer(source: OciSource, manifest: Mapping[str, Any]) -> str:
    layers = manifest.get("layers")
    if not isinstance(layers, list) or len(layers) != 1 or not isinstance(layers[0], dict):
        count = len(layers) if isinstance(layers, list) else "no"
        raise FetchFailed(FetchFailure.INVALID, f"{source.name} has {count} layers: an artifact with code has one")
    algorithm, _, digest = str(layers[0].get("digest", "")).partition(":")
    if algorithm != "sha256" or len(digest) != 64:
        raise FetchFailed(FetchFailure.INVALID, f"{source.name}: its layer's digest is not supported")
    if isinstance(size := layers[0].get("size"), int) and size >= limits.UNZIPPED_MAX_BYTES:
        raise FetchFailed(FetchFailure.INVALID, too_large())
    return digest


async def _blob(registry: RegistrySession, source: OciSource, digest: str, file: IO[bytes]) -> None:
    hasher = hashlib.sha256()
    async with registry.ask(f"blobs/sha256:{digest}") as answer:
        _check(source, answer.status)
        async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
            if file.tell() + len(chunk) >= limits.UNZIPPED_MAX_BYTES:
                raise FetchFailed(FetchFailure.INVALID, too_large())
            hasher.update(chunk)
            file.write(chunk)
    if hasher.hexdigest() != digest:
        raise FetchFailed(FetchFailure.INVALID, f"the registry has something else under sha256:{digest}")


def _check(source: OciSource, status: int) -> None:
    if status == 404:
        raise FetchFailed(FetchFailure.MISSING, f"{source.name} does not exist")
    if status in (401, 403):
        text = (
            f"{source.name} cannot be accessed: the registry answered {status}. Check its permissions and pullSecret."
        )
        raise FetchFailed(FetchFailure.DENIED, text)
    if status != 200:
        raise FetchFailed(FetchFailure.UNAVAILABLE, f"{source.name} cannot be fetched: the registry answered {status}")
