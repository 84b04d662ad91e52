"""Folders that archives are unpacked into, and what becomes of what was there."""

import io
import zipfile
from pathlib import Path

from kubelambda.agent.sandbox import folder
from kubelambda.core.code import unpacking

DEEP = "/".join(["a"] * 1_500)
"""Deeper than a function can call itself, and shorter than a path may be."""


def unpacked(target: Path, names: dict[str, str]) -> None:
    """An archive with files of these names and contents."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in names.items():
            archive.writestr(name, text)
    file.seek(0)
    folder.unpack(file, unpacking.plan(file), target)


def test_however_deep_a_sealed_folder_is_it_can_be_cleared(tmp_path: Path) -> None:
    """What one function's layers left must never be in the way of another function."""
    unpacked(tmp_path, {f"{DEEP}/x": "1", "b": "2"})
    folder.seal(tmp_path)
    folder.clear(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_deep_folder_makes_way_for_a_file(tmp_path: Path) -> None:
    """The later of two layers has a file where the first has a folder."""
    unpacked(tmp_path, {f"{DEEP}/x": "1"})
    unpacked(tmp_path, {"a": "file"})
    assert (tmp_path / "a").read_text() == "file"


def test_what_links_lead_to_is_not_cleared(tmp_path: Path) -> None:
    """Links go, and nothing behind them: neither files nor folders nor their modes."""
    kept, cleared = tmp_path / "kept", tmp_path / "cleared"
    (kept / "inner").mkdir(parents=True)
    (kept / "inner" / "file").write_text("stays")
    kept.chmod(0o711)
    cleared.mkdir()
    (cleared / "to-folder").symlink_to(kept)
    (cleared / "to-file").symlink_to(kept / "inner" / "file")
    (cleared / "to-nothing").symlink_to("/nowhere")
    folder.clear(cleared)
    assert list(cleared.iterdir()) == []
    assert (kept / "inner" / "file").read_text() == "stays"
    assert kept.stat().st_mode & 0o777 == 0o711
