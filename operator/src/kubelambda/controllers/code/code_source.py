"""Publishes the code of a function from wherever its spec says, or says what is in the way (DESIGN §3)."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import io
from collections.abc import Iterator
from contextlib import contextmanager

from kubelambda.api import limits
from kubelambda.api.kinds.deployed_configuration import DeployedCode
from kubelambda.api.kinds.function_code import Code, ConfigMapCode, StoredCode
from kubelambda.api.reasons import Reason
from kubelambda.controllers.code.code_origin import download_of, may_have, wanted_archive
from kubelambda.controllers.code.code_state import CodeState, WantedArchive
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.core.code import archive
from kubelambda.core.code.invalid_archive import InvalidArchive
from kubelambda.core.function.observation import Problem
from kubelambda.kube.errors import NotFound
from kubelambda.kube.resources import CONFIG_MAPS
from kubelambda.store.code.code_store import CodeStoreUnavailable


class SourceMissing(Exception):
    """The object that holds the code does not exist, or has no such key."""


class StoreAway(Exception):
    """The code store does not answer; `sha256` is what the function wants of it."""

    def __init__(self, sha256: str, message: str) -> None:
        super().__init__(message)
        self.sha256 = sha256


async def resolve(
    state: CodeState,
    context: Context,
    key: Key,
    code: Code,
    *,
    inline_file_name: str | None,
    deployed: DeployedCode | None,
) -> DeployedCode | Problem | None:
    """The published code; or the problem; or None while it is fetched.

    What is `deployed` already needs no code store that answers: an outage is nothing that the function has done.
    """
    try:
        wanted = wanted_archive(code)
        if code.stored is not None:
            return await _uploaded(state, key, code.stored, deployed)
        if wanted is None:
            return await _published(state, await _data(context, key, code, inline_file_name))
        if isinstance(wanted.source, str) and wanted.sha256 is not None:
            return await _downloaded(state, context, key, wanted, wanted.sha256)
        return await _arrived(state, context, key, wanted, deployed)
    except (InvalidArchive, SourceMissing, StoreAway) as error:
        return _instead(error, deployed)


def _instead(
    error: InvalidArchive | SourceMissing | StoreAway, deployed: DeployedCode | None
) -> DeployedCode | Problem:
    """What is deployed, where that is just what the store could not be asked for; else the problem."""
    match error:
        case InvalidArchive():
            return Problem(Reason.INVALID_CODE, str(error), terminal=True)
        case SourceMissing():
            return Problem(Reason.CODE_UNAVAILABLE, str(error))
        case StoreAway() if deployed is not None and deployed.sha256 == error.sha256:
            return deployed
        case StoreAway():
            return Problem(Reason.CODE_STORE_UNAVAILABLE, str(error))


@contextmanager
def _asked_for(sha256: str) -> Iterator[None]:
    """Says which archive is wanted of a code store that does not answer."""
    try:
        yield
    except CodeStoreUnavailable as error:
        raise StoreAway(sha256, str(error)) from error


async def _downloaded(
    state: CodeState, context: Context, key: Key, wanted: WantedArchive, sha256: str
) -> DeployedCode | Problem | None:
    """Downloading is done elsewhere; here we only look how it went."""
    state.unreferenced.pop(sha256, None)
    with _asked_for(sha256):
        size = await state.store.size(sha256)
    if size is not None and may_have(state, context, key, sha256):
        state.failed_downloads.pop(key, None)
        return DeployedCode(sha256=sha256, size=size)
    return _awaited(state, context, key, wanted)


async def _arrived(
    state: CodeState, context: Context, key: Key, wanted: WantedArchive, deployed: DeployedCode | None
) -> DeployedCode | Problem | None:
    """What the fetcher brought. What is deployed from there stays what it is: only another source is another fetch."""
    pinned = deployed if deployed is not None and _is_of(deployed, wanted) else None
    known = state.arrivals.get(key)
    arrived = known[1] if known is not None and known[0] == wanted else None
    for found in (pinned, arrived):
        if found is None:
            continue
        state.unreferenced.pop(found.sha256, None)
        with _asked_for(found.sha256):
            if await state.store.size(found.sha256) is None:
                continue
        if pinned is not None and pinned.sha256 != found.sha256:
            del state.arrivals[key]
            text = (
                f"the code store has lost what was deployed from {wanted.name} (SHA-256 {pinned.sha256}), and there is "
                f"something else now ({found.sha256}): name that as sha256 to deploy it"
            )
            return Problem(Reason.CODE_UNAVAILABLE, text)
        return found
    return _awaited(state, context, key, wanted)


def _is_of(deployed: DeployedCode, wanted: WantedArchive) -> bool:
    return deployed.source == wanted.name and wanted.sha256 in (None, deployed.sha256)


def _awaited(state: CodeState, context: Context, key: Key, wanted: WantedArchive) -> Problem | None:
    """Why it did not come; None while it is on its way."""
    failed = state.failed_downloads.get(key)
    if failed is not None and failed.wanted == wanted:
        return failed.problem
    download = download_of(key)
    # The end of a running download queues this function; asked for again now, it would fetch the same archive twice.
    if not context.queues.of(download.kind).is_running(download):
        context.queues.add(download)
    return None


async def _uploaded(
    state: CodeState, key: Key, code: StoredCode, deployed: DeployedCode | None
) -> DeployedCode | Problem:
    """What the control API brought is in the store already, and nowhere else."""
    if not hmac.compare_digest(code.signature, state.store.upload_signature(key.namespace, code.sha256)):
        text = f"code.stored names an archive that was not uploaded for namespace {key.namespace}: upload it here"
        return Problem(Reason.INVALID_CODE, text, terminal=True)
    state.unreferenced.pop(code.sha256, None)
    with _asked_for(code.sha256):
        if deployed is None or deployed.sha256 != code.sha256:  # nobody ran it: it may be about to be collected
            await state.store.renew(code.sha256)
        size = await state.store.size(code.sha256)
    if size is None:
        return Problem(Reason.CODE_UNAVAILABLE, f"the code store has no archive {code.sha256}: upload the code again")
    return DeployedCode(sha256=code.sha256, size=size)


async def _data(context: Context, key: Key, code: Code, inline_file_name: str | None) -> bytes:
    if code.inline is not None:
        return _from_text(inline_file_name, code.inline)
    if code.zip_file is not None:
        return await _checked(code.zip_file, "code.zipFile")
    if code.config_map_ref is not None:
        return await _from_config_map(context, key.namespace, code.config_map_ref, inline_file_name)
    raise InvalidArchive("code names no source that this release serves")


async def _from_config_map(
    context: Context, namespace: str, source: ConfigMapCode, inline_file_name: str | None
) -> bytes:
    try:
        found = await context.client.get(CONFIG_MAPS, source.name, namespace)
    except NotFound as error:
        raise SourceMissing(f"ConfigMap {source.name} does not exist in namespace {namespace}") from error
    binary = (found.get("binaryData") or {}).get(source.key)
    text = (found.get("data") or {}).get(source.key)
    if binary is not None:
        return await _checked(binary, f"key {source.key} of ConfigMap {source.name}")
    if text is not None:
        return _from_text(inline_file_name, text)
    raise SourceMissing(f"ConfigMap {source.name} has no key {source.key}")


def _from_text(file_name: str | None, text: str) -> bytes:
    if file_name is None:
        raise InvalidArchive("the runtime takes no code as text: give it an archive")
    return archive.from_text(file_name, text)


async def _checked(text: str, where: str) -> bytes:
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise InvalidArchive(f"{where} is not base64: {error}") from error
    if len(data) >= limits.ZIP_MAX_BYTES:
        raise InvalidArchive(f"Zipped size must be smaller than {limits.ZIP_MAX_BYTES} bytes")
    # A small archive may hold a quarter of a gigabyte of zeros: nothing to unpack on the event loop.
    await asyncio.to_thread(archive.check, io.BytesIO(data))
    return data


async def _published(state: CodeState, data: bytes) -> DeployedCode:
    sha256 = hashlib.sha256(data).hexdigest()
    state.unreferenced.pop(sha256, None)
    with _asked_for(sha256):
        await state.store.publish(sha256, data)
    return DeployedCode(sha256=sha256, size=len(data))
