"""What the signature of an archive in the code store speaks of, read in pieces."""

import hashlib

from kubelambda.core.code.signed_content import SignedContent, SignedContentReader
from kubelambda.store.code.code_store import CodeStore, CodeStoreUnavailable


async def stored_content(store: CodeStore, sha256: str) -> SignedContent:
    """The content of an archive, of that one and no other. Raises `CodeStoreUnavailable`, `InvalidArchive`."""
    reader, found = SignedContentReader(), hashlib.sha256()
    async for piece in store.pieces(sha256):
        found.update(piece)
        reader.feed(piece)
    if found.hexdigest() != sha256:
        raise CodeStoreUnavailable(f"the code store has something else under {sha256}: {found.hexdigest()}")
    return reader.finish()
