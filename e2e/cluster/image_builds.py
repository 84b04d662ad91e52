"""The images of `images/`, and those that tests want: what each is made of; those that changed are built."""

import hashlib
import re
import shutil
import tempfile
import tomllib
from collections.abc import Collection
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
EXAMPLES = ROOT / "examples" / "runtimes"
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
    on_demand: bool = False
    """Whether a cluster has it only if somebody asks for it: by name, or with all the others."""
    folder: Path = IMAGES
    """The build context: where its own folder and its inputs are. Only tests want images of others than `images`."""
    recipe: str = ""
    """The folder of its Dockerfile, where that is not its own but one that it shares with others."""
    arguments: tuple[tuple[str, str], ...] = ()
    """Build arguments that tell it from those others."""

    @property
    def dockerfile(self) -> Path:
        """What it is built by."""
        return self.folder / (self.recipe or self.name) / "Dockerfile"


def _nodejs(major: str) -> Image:
    return Image(
        f"runtime-nodejs{major}.x",
        ("agent", "package", "nodejs-client"),
        (f"runtime-nodejs/{major}", "runtime-nodejs/bootstrap", "lambda-entrypoint.sh"),
        on_demand=True,
        recipe="runtime-nodejs",
        arguments=(("MAJOR", major),),
    )


def _java(release: str) -> Image:
    return Image(
        f"runtime-java{release}",
        ("base", "agent", "package"),
        ("runtime-java", "lambda-entrypoint.sh"),
        on_demand=True,
        recipe="runtime-java",
        arguments=(("RELEASE", release),),
    )


GRAPH = (
    Image("base", (), published=False),
    Image("package", ("base",), ("dist/kubelambda.whl",), published=False),
    Image("agent", ("base",), ("requirements-agent.txt",), published=False),
    Image("platform", ("base", "package"), ("requirements-platform.txt", "platform")),
    Image("pollers", ("base", "package"), ("requirements-pollers.txt",)),
    Image(
        "runtime-python3.13",
        ("base", "agent", "package"),
        ("requirements-runtime-python3.13.txt", "runtime-python3.13", "lambda-entrypoint.sh"),
    ),
    Image("runtime-nodejs20.x", ("base", "agent", "package"), ("runtime-nodejs20.x", "lambda-entrypoint.sh")),
    Image("runtime-provided.al2023", ("agent", "package"), ("runtime-provided.al2023",)),
    Image("runtime-image", ("base", "agent", "package"), ("launcher",)),
    Image("nodejs-client", ("base",), ("nodejs-client/package.json",), published=False),
    _nodejs("22"),
    _nodejs("24"),
    _java("21"),
    _java("25"),
    Image("runtime-ruby3.3", ("agent", "package"), ("runtime-ruby3.3", "lambda-entrypoint.sh"), on_demand=True),
    Image("aws", ("base",), ("aws",), folder=TEST_IMAGES),
    Image("activemq", ("base",), ("activemq", "restarting.sh"), folder=TEST_IMAGES),
    Image("rabbitmq", ("base",), ("rabbitmq", "restarting.sh"), folder=TEST_IMAGES),
    Image("elasticmq", ("base",), ("elasticmq", "kafka/fetch_jars.py", "restarting.sh"), folder=TEST_IMAGES),
    Image("prometheus", ("base",), folder=TEST_IMAGES),
    Image("nats", ("base",), ("nats", "restarting.sh"), folder=TEST_IMAGES),
    Image("runtime-python3.11", ("base", "runtime-provided.al2023"), ("runtime-python3.11",), folder=EXAMPLES),
    Image("kafka", ("base",), ("kafka", "restarting.sh"), folder=TEST_IMAGES),
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


def build_images(builder: Builder, names: Collection[str] = (), *, everything: bool = False) -> list[Path]:
    """Builds what changed; the archives of the images of these names, or of those that a cluster has from the start.

    `everything` are all that are published. Raises `ClusterError` for a name that no image has.
    """
    asked = _asked_for(names, everything=everything)
    with exclusive(ARCHIVES / ".lock"):
        _build_wheel()
        keys = _keys(builder)
        wanted = {image.name: ARCHIVES / f"{image.name}-{keys[image.name][:16]}.tar" for image in asked}
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


def _asked_for(names: Collection[str], *, everything: bool) -> list[Image]:
    published = [image for image in GRAPH if image.published]
    unknown = sorted(set(names) - {image.name for image in published})
    if unknown:
        known = ", ".join(image.name for image in published)
        raise ClusterError(f"no image is called {', '.join(unknown)}; there are: {known}")
    if names:
        return [image for image in published if image.name in names]
    return [image for image in published if image.folder == IMAGES and (everything or not image.on_demand)]


def _build(builder: Builder, image: Image, archive: Path | None) -> None:
    with step(f"image {image.name}", announce=True):
        arguments = {re.sub("[^A-Z0-9]", "_", parent.upper()): reference(parent) for parent in image.parents}
        arguments |= dict(image.arguments)
        builder.build(reference(image.name), image.dockerfile, image.folder, arguments)
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
        arguments = "".join(f" {name}={value}" for name, value in image.arguments)
        digest = hashlib.sha256(f"{builder.identity} {reference(image.name)}{arguments}".encode())
        for parent in image.parents:
            digest.update(keys[parent].encode())
        for path in (image.dockerfile, *(image.folder / name for name in image.inputs)):
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
