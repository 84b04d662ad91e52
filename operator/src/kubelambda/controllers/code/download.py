"""Fetches the archive that a Function or Layer names into the code store: streamed, bounded in size and time."""

import asyncio
import hashlib
import logging
import tempfile
from collections.abc import Sequence
from functools import partial
from typing import IO

import aiohttp
from pydantic import IPvAnyNetwork

from kubelambda.api import limits
from kubelambda.api.kinds.deployed_configuration import DeployedCode
from kubelambda.api.reasons import Reason
from kubelambda.controllers.code.code_origin import DOWNLOADS, asker_of, may_have, wanted_by
from kubelambda.controllers.code.code_state import CodeState, FailedDownload, WantedArchive
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Controller
from kubelambda.controllers.machinery.work_queue import BackOff, Key, Outcome
from kubelambda.core.code import archive
from kubelambda.core.code.invalid_archive import InvalidArchive, too_large
from kubelambda.core.code.refused_networks import never_fetched
from kubelambda.core.code.remote_source import FetchFailed, FetchFailure
from kubelambda.core.function.observation import Problem
from kubelambda.outbound.guarded_sockets import outside
from kubelambda.store.code.code_store import CodeStoreUnavailable

WORKERS = 8
PER_NAMESPACE = 4
"""Downloads that one namespace may have at once; the rest is for the others."""
_TIMEOUT = aiohttp.ClientTimeout(total=120, sock_connect=5, sock_read=15)
_CHUNK_BYTES = 1 << 18
_MEMORY_BYTES = 1 << 20

log = logging.getLogger(__name__)


class SourceUnavailable(Exception):
    """The server does not answer, or not with the archive."""


class WrongDigest(Exception):
    """The server answers with another archive; it may be replaced there."""


def controllers(code: CodeState) -> tuple[Controller[Context], ...]:
    """Asked for by those whose archives are not there; apart from all others, because it may take minutes."""
    return tuple(Controller(kind, partial(reconcile, code), own_workers=WORKERS) for kind in DOWNLOADS)


async def reconcile(code: CodeState, context: Context, key: Key) -> Outcome:
    """The archive of one Function or Layer. What comes of it is remembered for its own reconciliation.

    Every end of a download queues that: one that asked while one ran waits for nothing else (`code_source`).
    """
    asker = asker_of(key)
    if context.queues.of(key.kind).running(key.namespace) > PER_NAMESPACE:
        return 1.0
    wanted = await wanted_by(context, asker)
    if wanted is None:
        context.queues.add(asker)
        return None
    problem, again = await _attempt(code, context, asker, wanted)
    if problem is None:
        code.failed_downloads.pop(asker, None)
    else:
        code.failed_downloads[asker] = FailedDownload(wanted, problem)
        log.info("%s %s/%s: %s", asker.kind, key.namespace, key.name, problem.message)
    context.queues.add(asker)
    return BackOff() if again else None


async def _attempt(code: CodeState, context: Context, key: Key, wanted: WantedArchive) -> tuple[Problem | None, bool]:
    """The problem, and whether another attempt can end differently."""
    try:
        sha256 = wanted.sha256 or ""
        if not isinstance(wanted.source, str):
            sha256 = await _fetch(code, key, wanted)
        elif not may_have(code, context, key, sha256) or await code.store.size(sha256) is None:
            await _publish(code, context.settings.code_url_refused_networks, wanted.source, sha256)
        code.fetched.setdefault(sha256, set()).add(key.namespace)
    except FetchFailed as error:
        invalid = error.kind is FetchFailure.INVALID
        reason = Reason.INVALID_CODE if invalid else Reason.CODE_UNAVAILABLE
        return Problem(reason, str(error), terminal=invalid), True
    except WrongDigest as error:
        return Problem(Reason.INVALID_CODE, str(error), terminal=True), True
    except InvalidArchive as error:
        return Problem(Reason.INVALID_CODE, str(error), terminal=True), False
    except SourceUnavailable as error:
        return Problem(Reason.CODE_UNAVAILABLE, str(error)), True
    except CodeStoreUnavailable as error:
        return Problem(Reason.CODE_STORE_UNAVAILABLE, str(error)), True
    return None, False


async def _fetch(code: CodeState, key: Key, wanted: WantedArchive) -> str:
    """The digest of what the fetcher put into the store. Raises `FetchFailed` or `WrongDigest`."""
    assert not isinstance(wanted.source, str), "addresses are fetched by ourselves"
    found = await code.fetcher.fetch(key.namespace, wanted.source)
    if wanted.sha256 not in (None, found.sha256):
        raise WrongDigest(f"the archive at {wanted.name} has SHA-256 {found.sha256}, not {wanted.sha256}")
    code.unreferenced.pop(found.sha256, None)
    code.arrivals[key] = (
        wanted,
        DeployedCode(sha256=found.sha256, size=found.size, source=wanted.name, resolved=found.resolved),
    )
    return found.sha256


async def _publish(code: CodeState, refused: Sequence[IPvAnyNetwork], url: str, sha256: str) -> None:
    with tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES) as file:
        found = await _download(url, file, refused)
        if found != sha256:
            raise WrongDigest(f"the archive at {url} has SHA-256 {found}, not {sha256}")
        async with code.checking:
            await asyncio.to_thread(archive.check, file)
        code.unreferenced.pop(sha256, None)
        await code.store.put(sha256, file)


async def _download(url: str, file: IO[bytes], refused: Sequence[IPvAnyNetwork]) -> str:
    """Writes what the server sends to `file`; returns its SHA-256."""
    hasher = hashlib.sha256()
    size = 0
    connector = aiohttp.TCPConnector(socket_factory=outside(refused, never_fetched))
    session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT, trust_env=True)
    try:
        async with session, session.get(url) as response:
            if response.status != 200:
                raise SourceUnavailable(f"{url} answered {response.status} {response.reason}")
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                size += len(chunk)
                if size >= limits.UNZIPPED_MAX_BYTES:
                    raise InvalidArchive(too_large())
                hasher.update(chunk)
                file.write(chunk)
    except (aiohttp.ClientError, ValueError, TimeoutError, OSError) as error:
        raise SourceUnavailable(f"{url} cannot be fetched: {error or type(error).__name__}") from error
    return hasher.hexdigest()
