"""Archives of function code: made out of source text, and checked before anything trusts them (§1.3, Appendix A)."""

import io
import stat
import zipfile
from typing import IO

from kubelambda.core.code import unpacking

_EPOCH = (1980, 1, 1, 0, 0, 0)
_EXECUTABLE = 0o755
_READABLE = 0o644


def from_text(file_name: str, text: str) -> bytes:
    """An archive with one file, the same bytes for the same text. A bootstrap can be executed."""
    mode = _EXECUTABLE if file_name == "bootstrap" else _READABLE
    entry = zipfile.ZipInfo(file_name, _EPOCH)
    entry.external_attr = (stat.S_IFREG | mode) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, text)
    return buffer.getvalue()


def check(file: IO[bytes]) -> None:
    """Reads all of an archive, in bounded pieces. Raises `InvalidArchive` for what no environment could unpack."""
    for packed in unpacking.plan(file).files:
        for _ in unpacking.contents(file, packed):
            pass
