"""How large an archive of the code store is once it is unpacked: for the limit of code and layers together (§1.3)."""

import asyncio
import io

from kubelambda.controllers.code.code_state import CodeState
from kubelambda.core.code import unpacking


async def unzipped_size(state: CodeState, sha256: str) -> int:
    """Bytes of all files, read out of the archive's list once. Raises `CodeStoreUnavailable`, `InvalidArchive`."""
    known = state.unzipped_sizes.get(sha256)
    if known is not None:
        return known
    async with state.checking:
        data = await state.store.get(sha256)
        plan = await asyncio.to_thread(unpacking.plan, io.BytesIO(data))
    state.unzipped_sizes[sha256] = plan.size
    return plan.size
