"""What the signature of an archive in the code store speaks of, read in pieces."""

from kubelambda.core.code.signed_content import SignedContent, SignedContentReader
from kubelambda.store.code.code_store import CodeStore


async def stored_content(store: CodeStore, sha256: str) -> SignedContent:
    """The content of an archive. Raises `CodeStoreUnavailable`, `InvalidArchive`."""
    reader = SignedContentReader()
    async for piece in store.pieces(sha256):
        reader.feed(piece)
    return reader.finish()
