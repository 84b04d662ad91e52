"""The images of `images/`, and of `e2e/images/` for tests: what each is made of; those that changed are built."""

import hashlib
import shutil
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from locking import exclusive
from progress import ClusterError, step
from settings import CACHE, HERE, IMAGE_REPOSITORY
from shell import run

ROOT = HERE.parent.parent
IMAGES = ROOT / "images"
TEST_IMAGES = ROOT / "e2e" / "images"
ARCHIVES = CACHE / "images"
_WHEEL = IMAGES / "dist" / "kubelambda.whl"
_WHEEL_KEY = IMAGES / "dist" / "key"
_WHEEL_SOURCES = ("pyproject.toml", "README.md", "LICENSE")


@dataclass(frozen=True)
class Image:
    """One folder of images; its Dockerfile takes the image named `base` as the build argument BASE, and so on."""

    name: str
    parents: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    published: bool = True
    for_tests: bool = False
    """Whether only tests want it, and ask for it by name."""

    @property
    def folder(self) -> Path:
        """The build context: where its own folder and its inputs are."""
        return TEST_IMAGES if self.for_tests else IMAGES


GRAPH = (
    Image("base", (), published=False),
    Image("package", ("base",), ("dist/kubelambda.whl",), published=False),
    Image("agent", ("base",), ("requirements-agent.txt",), published=False),
    Image("platform", ("base", "package"), ("requirements-platform.txt",)),
    Image("pollers", ("base", "package"), ("requirements-pollers.txt",)),
    Image(
        "runtime-python3.13",
        ("base", "agent", "package"),
        ("requirements-runtime-python3.13.txt", "runtime-python3.13", "lambda-entrypoint.sh"),
    ),
    Image("runtime-nodejs20.x", ("base", "agent", "package"), ("runtime-nodejs20.x", "lambda-entrypoint.sh")),
    Image("runtime-provided.al2023", ("agent", "package"), ("runtime-provided.al2023",)),
    Image("runtime-image", ("base", "agent", "package"), ("launcher",)),
    Image("aws", ("base",), ("aws",), for_tests=True),
    Image("activemq", ("base",), ("activemq",), for_tests=True),
    Image("rabbitmq", ("base",), ("rabbitmq",), for_tests=True),
    Image("prometheus", ("base",), for_tests=True),
    Image("kafka", ("base",), ("kafka",), for_tests=True),
)
"""Every image after those that it is made from."""


class Builder(Protocol):
    """Something that takes Dockerfiles."""

    identity: str
    """What besides the files of an image decides its content."""

    def prepare(self) -> None:
        """Makes what the first Dockerfile starts from."""

    def build(self, name: str, dockerfile: Path, context: Path, arguments: dict[str, str]) -> None:
        """Builds one image."""

    def export(self, name: str, archive: Path) -> None:
        """Writes one image as an archive that nodes can import."""

    def finish(self) -> None:
        """Leaves nothing but images behind."""


def version() -> str:
    """The tag of every image."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return str(content["project"]["version"])


def reference(name: str) -> str:
    """The fully qualified name of an image."""
    return f"{IMAGE_REPOSITORY}/{name}:{version()}"


def build_images(builder: Builder, test_image: str | None = None) -> list[Path]:
    """Builds what changed; the archives of all published images, or of one that tests ask for."""
    with exclusive(ARCHIVES / ".lock"):
        _build_wheel()
        keys = _keys(builder)
        wanted = {
            image.name: ARCHIVES / f"{image.name}-{keys[image.name][:16]}.tar"
            for image in GRAPH
            if _asked_for(image, test_image)
        }
        missing = {name for name, archive in wanted.items() if not archive.exists()}
        if missing:
            ARCHIVES.mkdir(parents=True, exist_ok=True)
            try:
                builder.prepare()
                for image in _with_parents(missing):
                    _build(builder, image, wanted.get(image.name))
            finally:
                builder.finish()
        return list(wanted.values())


def _asked_for(image: Image, test_image: str | None) -> bool:
    if test_image is None:
        return image.published and not image.for_tests
    return image.for_tests and image.name == test_image


def _build(builder: Builder, image: Image, archive: Path | None) -> None:
    with step(f"image {image.name}", announce=True):
        arguments = {parent.upper(): reference(parent) for parent in image.parents}
        builder.build(reference(image.name), image.folder / image.name / "Dockerfile", image.folder, arguments)
        if archive is not None:
            made = archive.with_suffix(".new")
            made.unlink(missing_ok=True)
            builder.export(reference(image.name), made)
            for outdated in ARCHIVES.glob(f"{image.name}-????????????????.tar"):
                outdated.unlink()
            made.replace(archive)


def _with_parents(names: set[str]) -> list[Image]:
    """Those images and all that they stand on, in the order in which they can be built."""
    needed = set(names)
    for image in reversed(GRAPH):
        if image.name in needed:
            needed.update(image.parents)
    return [image for image in GRAPH if image.name in needed]


def _keys(builder: Builder) -> dict[str, str]:
    """A digest of everything that an image is made from."""
    keys: dict[str, str] = {}
    for image in GRAPH:
        digest = hashlib.sha256(f"{builder.identity} {reference(image.name)}".encode())
        for parent in image.parents:
            digest.update(keys[parent].encode())
        for path in (image.folder / image.name / "Dockerfile", *(image.folder / name for name in image.inputs)):
            digest.update(digest_of(path).encode())
        keys[image.name] = digest.hexdigest()
    return keys


def digest_of(path: Path) -> str:
    """Digest of a file, or of a folder's files and their names."""
    digest = hashlib.sha256()
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in files:
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(f"{file.relative_to(path)} {file.stat().st_mode & 0o111}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _build_wheel() -> None:
    """Our package, once for all images; rebuilt when its sources changed."""
    parts = [digest_of(ROOT / name) for name in (*_WHEEL_SOURCES, "operator/src/kubelambda")]
    key = " ".join(parts)
    if _WHEEL.exists() and _WHEEL_KEY.exists() and _WHEEL_KEY.read_text() == key:
        return
    uv = shutil.which("uv")
    if uv is None:
        raise ClusterError("uv is not on PATH, and it builds the wheel of the images: run `make setup`")
    with step("wheel"), tempfile.TemporaryDirectory() as folder:
        run(uv, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT)
        _WHEEL.parent.mkdir(exist_ok=True)
        _WHEEL_KEY.unlink(missing_ok=True)
        shutil.copyfile(next(Path(folder).glob("*.whl")), _WHEEL)
        _WHEEL_KEY.write_text(key)
