"""Fetches the code of a function from wherever its spec says (DESIGN §3)."""

import base64
import binascii
import hashlib

import aiohttp

from kubelambda.api import limits
from kubelambda.api.function import Code
from kubelambda.core import archive
from kubelambda.core.archive import Archive, InvalidArchive
from kubelambda.kube.client import KubeClient
from kubelambda.kube.errors import NotFound
from kubelambda.kube.resources import CONFIG_MAPS

_TIMEOUT = aiohttp.ClientTimeout(total=60, connect=5)


class CodeUnavailable(Exception):
    """The source does not exist or does not answer: worth another try."""


async def fetch(client: KubeClient, namespace: str, code: Code, inline_file_name: str) -> Archive:
    """The checked archive. Raises `InvalidArchive` or `CodeUnavailable`."""
    if code.inline is not None:
        return archive.from_text(inline_file_name, code.inline)
    if code.zip_file is not None:
        return archive.checked(_decoded(code.zip_file))
    if code.config_map_ref is not None:
        return await _from_config_map(
            client, namespace, code.config_map_ref.name, code.config_map_ref.key, inline_file_name
        )
    if code.url is not None and code.sha256 is not None:
        return archive.checked(await _download(code.url, code.sha256))
    raise InvalidArchive("code names no source that this release serves")


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise InvalidArchive(f"code.zipFile is not base64: {error}") from error
    if len(data) >= limits.ZIP_MAX_BYTES:
        raise InvalidArchive(f"Zipped size must be smaller than {limits.ZIP_MAX_BYTES} bytes")
    return data


async def _from_config_map(client: KubeClient, namespace: str, name: str, key: str, inline_file_name: str) -> Archive:
    try:
        found = await client.get(CONFIG_MAPS, name, namespace)
    except NotFound as error:
        raise CodeUnavailable(f"ConfigMap {name} does not exist in namespace {namespace}") from error
    binary, text = (found.get("binaryData") or {}).get(key), (found.get("data") or {}).get(key)
    if binary is not None:
        return archive.checked(_decoded(binary))
    if text is not None:
        return archive.from_text(inline_file_name, text)
    raise CodeUnavailable(f"ConfigMap {name} has no key {key}")


async def _download(url: str, sha256: str) -> bytes:
    hasher = hashlib.sha256()
    data = bytearray()
    try:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session, session.get(url) as response:
            if response.status != 200:
                raise CodeUnavailable(f"{url} answered {response.status}")
            async for chunk in response.content.iter_chunked(1 << 18):
                data += chunk
                hasher.update(chunk)
                if len(data) >= limits.UNZIPPED_MAX_BYTES:
                    raise InvalidArchive(f"{url} is larger than {limits.UNZIPPED_MAX_BYTES} bytes")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise CodeUnavailable(f"{url} cannot be fetched: {error or type(error).__name__}") from error
    if hasher.hexdigest() != sha256:
        raise InvalidArchive(f"the archive at {url} has SHA-256 {hasher.hexdigest()}, not {sha256}")
    return bytes(data)
