"""Zip archives, as people upload them."""

import io
import zipfile
from collections.abc import Mapping


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    """An archive of files, by their names."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as folder:
        for name, content in files.items():
            folder.writestr(name, content)
    return archive.getvalue()
