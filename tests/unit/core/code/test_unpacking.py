"""What a plan accepts can be carried out, and leads out of nowhere (§1.3)."""

import io
import stat
import tempfile
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.code import unpacking
from kubelambda.core.code.invalid_archive import InvalidArchive

FILE = stat.S_IFREG | 0o644
LINK = stat.S_IFLNK | 0o777
FOLDER = stat.S_IFDIR | 0o755

type Made = tuple[str, str, int]
"""Name, content and Unix mode of an entry."""


def zipped(*made: Made) -> io.BytesIO:
    """An archive of `made`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that occur twice
        for name, content, mode in made:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, content)
    return buffer


def unpack(file: io.BytesIO, root: Path) -> None:
    """Carries a plan out, as plainly as can be."""
    plan = unpacking.plan(file)
    for directory in plan.directories:
        (root / directory).mkdir()
    for packed in plan.files:
        with (root / packed.path).open("xb") as target:
            target.writelines(unpacking.contents(file, packed))
        (root / packed.path).chmod(packed.mode)
    for link in plan.links:
        (root / link.path).symlink_to(link.target)


def refusal(*made: Made) -> str:
    """Why an archive is refused."""
    with pytest.raises(InvalidArchive) as raised:
        unpacking.plan(zipped(*made))
    return str(raised.value)


def test_files_folders_and_links_arrive_with_their_modes(tmp_path: Path) -> None:
    """Folders that the archive does not list too; nothing is set-user-id, everything can be read."""
    made = zipped(
        ("lib/deep/a.py", "a", stat.S_IFREG | 0o755),
        ("empty/", "", FOLDER),
        ("unlisted-mode", "b", stat.S_IFREG),
        ("secret", "c", stat.S_IFREG | 0o200),
        ("root", "d", stat.S_IFREG | 0o6755),
        ("lib/link", "deep/a.py", LINK),
    )
    unpack(made, tmp_path)
    modes = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in tmp_path.rglob("*") if path.is_file()}
    assert modes == {"a.py": 0o755, "unlisted-mode": 0o644, "secret": 0o600, "root": 0o755, "link": 0o777}
    assert (tmp_path / "empty").is_dir()
    assert (tmp_path / "lib/link").read_text() == "a"


@pytest.mark.parametrize("target", ["/usr/bin/python3", "/opt/nodejs/node_modules", "../../tmp/cache", "nowhere"])
def test_links_that_lead_out_are_kept(tmp_path: Path, target: str) -> None:
    """`zip -y` of a virtual environment has one to its Python; Lambda keeps them, wherever they lead."""
    unpack(zipped(("venv/bin/python", target, LINK), ("index.py", "x", FILE)), tmp_path)
    assert (tmp_path / "venv/bin/python").readlink() == Path(target)


@pytest.mark.parametrize(
    "made",
    [
        [("l", "..", LINK), ("l/outside", "evil", FILE)],
        [("l/outside", "evil", FILE), ("l", "..", LINK)],
        [("l", "/tmp", LINK), ("l/deep/outside", "evil", FILE)],
        [("l", "..", LINK), ("l/", "", FOLDER)],
        [("a", "x", FILE), ("a/b", "y", FILE)],
        [("a/b", "y", FILE), ("a", "x", FILE)],
    ],
)
def test_what_is_a_folder_and_something_else_is_refused(made: list[Made]) -> None:
    """So nothing is ever written through a link."""
    assert "both a" in refusal(*made)


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "..\\a", "a/.."])
def test_names_that_lead_out_are_refused(name: str) -> None:
    """Before anybody unpacks them."""
    assert "leads out of its folder" in refusal((name, "x", FILE))


@pytest.mark.parametrize(
    ("name", "reason"),
    [("n" * 256, "longer"), ("é" * 128, "longer"), ("a/" * 1951, "longer"), (".", "no name"), ("a\0b", "no name")],
)
def test_names_that_no_file_can_have_are_refused(name: str, reason: str) -> None:
    """With the beginning of the name only: it may be 65 535 bytes long."""
    made = zipped((name.replace("\0", "_NUL_"), "x", FILE)).getvalue().replace(b"_NUL_", b"\0\0\0\0\0")
    with pytest.raises(InvalidArchive, match=reason) as raised:
        unpacking.plan(io.BytesIO(made))
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("target", ["", "x" * 4096, "a\0b"])
def test_links_to_nothing_are_refused(target: str) -> None:
    """No system call would make them."""
    assert "leads nowhere" in refusal(("l", target, LINK))


def test_the_later_of_two_entries_with_one_name_counts(tmp_path: Path) -> None:
    """Files and links, in both orders: what `zip` appends replaces what was there."""
    unpack(
        zipped(
            ("file", "old", FILE), ("file", "new", FILE),
            ("link", "old", LINK), ("./link", "new", LINK),
            ("became-file", "x", LINK), ("became-file", "y", FILE),
        ),
        tmp_path,
    )  # fmt: skip
    assert (tmp_path / "file").read_text() == "new"
    assert (tmp_path / "link").readlink() == Path("new")
    assert (tmp_path / "became-file").read_text() == "y"


def test_deep_folders_cannot_fill_the_memory() -> None:
    """Fifty names of two thousand folders each would be hundreds of megabytes of paths."""
    deep = [(f"{index}/" + "a/" * 1900 + "f", "", FILE) for index in range(50)]
    assert "too many files" in refusal(*deep)


def test_the_room_that_is_left_can_be_less() -> None:
    """A function's code and its layers share what Lambda allows."""
    made = zipped(("a", "x" * 100, FILE))
    assert unpacking.plan(made, max_bytes=101).size == 100
    with pytest.raises(InvalidArchive, match="smaller than 100 bytes"):
        unpacking.plan(made, max_bytes=100)


NAMES = st.text(st.sampled_from("ab./\\é \n"), min_size=1, max_size=8)
MODES = st.sampled_from([FILE, LINK, FOLDER, 0, stat.S_IFIFO | 0o600, stat.S_IFREG, stat.S_IFCHR | 0o4777])


@given(st.lists(st.tuples(NAMES, st.sampled_from(["", "x", "..", "/", "a", "a/b"]), MODES), max_size=8))
def test_every_archive_that_is_accepted_can_be_unpacked(made: list[Made]) -> None:
    """And nothing beside its folder changes."""
    file = zipped(*made)
    try:
        unpacking.plan(file)
    except InvalidArchive:
        return
    with tempfile.TemporaryDirectory() as top:
        root = Path(top, "task")
        root.mkdir()
        unpack(file, root)
        assert list(Path(top).iterdir()) == [root]
