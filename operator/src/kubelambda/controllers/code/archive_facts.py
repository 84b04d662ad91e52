"""What is read out of archives in the code store once, and remembered by their digests: sizes and signatures."""

import asyncio
import io
from dataclasses import replace
from typing import Final

from kubelambda.controllers.code.code_state import CodeState
from kubelambda.core.code import unpacking
from kubelambda.core.code.code_signature import SIGNATURE_MAX_BYTES
from kubelambda.core.code.signed_content import SignedContent
from kubelambda.store.code.stored_content import stored_content

CONTENTS_MAX: Final = 4_096
"""Archives whose signatures are remembered: the longest known make room for others."""


async def unzipped_size(state: CodeState, sha256: str) -> int:
    """Bytes of all files, for the limit of code and layers together (§1.3).

    Raises `CodeStoreUnavailable`, `InvalidArchive`.
    """
    known = state.unzipped_sizes.get(sha256)
    if known is not None:
        return known
    async with state.checking:
        data = await state.store.get(sha256)
        plan = await asyncio.to_thread(unpacking.plan, io.BytesIO(data))
    state.unzipped_sizes[sha256] = plan.size
    return plan.size


async def content_of(state: CodeState, sha256: str) -> SignedContent:
    """What can be signed, and the signature (§1.5.4). Raises `CodeStoreUnavailable`, `InvalidArchive`."""
    known = state.contents.get(sha256)
    if known is None:
        async with state.checking:
            known = _without_ballast(await stored_content(state.store, sha256))
            state.contents[sha256] = known
            while len(state.contents) > CONTENTS_MAX:
                del state.contents[next(iter(state.contents))]
    return known


def _without_ballast(content: SignedContent) -> SignedContent:
    """A comment has up to 64 KiB, whatever stands in it."""
    return replace(content, comment=b"") if len(content.comment) > SIGNATURE_MAX_BYTES else content
