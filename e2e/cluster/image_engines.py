"""The two programs that build Dockerfiles: Docker where an engine answers, buildah where no registry does."""

import os
import shutil
from pathlib import Path

import debian
from image_builds import ARCHIVES
from mounts import unmount_below
from progress import step
from settings import CACHE, IMAGE_REPOSITORY
from shell import run, succeeds

SUITE = "trixie"
EPOCH = os.environ.get("SOURCE_DATE_EPOCH", "1735689600")
"""The time stamp of every file, so that the same inputs make the same layers."""
BUILDAH_STORAGE = CACHE / "buildah"
BUILDAH_RUN = BUILDAH_STORAGE / "run"
_DEBIAN = f"{IMAGE_REPOSITORY}/debian:{SUITE}"
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*")
_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT")
_CERTIFICATES = "/run/secrets/ca"
"""Where the build steps that fetch packages see the machine's authorities; it is mounted and never part of a layer."""
_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
"""Build arguments that Docker knows without a declaration and keeps out of the image; buildah passes them by itself."""
_BUILDKIT = {"DOCKER_BUILDKIT": "1", "BUILDX_BUILDER": "default", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
"""The Dockerfiles mount secrets, which Docker before 23 only does if asked. Another builder than the engine's own would
neither see the images that the next one is made from nor leave its result where `docker save` finds it."""


class Buildah:
    """Dockerfiles on a Debian made by mmdebstrap; needs root, Debian's packages and nothing else."""

    identity = f"buildah {SUITE} {EPOCH}"

    def prepare(self) -> None:
        """Debian itself."""
        debian.require_root()
        debian.install(debian.IMAGE_PACKAGES)
        self._forget_mounts()
        if self._succeeds("inspect", "--type", "image", _DEBIAN):
            return
        folder = ARCHIVES / f"debian-{SUITE}"
        folder.mkdir(parents=True, exist_ok=True)
        archive = folder / "root.tar"
        if not archive.exists():
            with step(f"Debian {SUITE} with mmdebstrap", announce=True):
                options = [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
                made = folder / "new.tar"
                environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
                run("mmdebstrap", "--variant=minbase", *options, SUITE, made, env=environment)
                made.replace(archive)
        (folder / "Dockerfile").write_text("FROM scratch\nADD root.tar /\n")
        self._run("bud", "--timestamp", EPOCH, "--tag", _DEBIAN, str(folder))

    def build(self, name: str, dockerfile: Path, context: Path, arguments: dict[str, str]) -> None:
        """Builds one image; unchanged layers come from buildah's own cache."""
        secret, given = _certificates()
        every = {"DEBIAN": _DEBIAN, **given, **arguments}
        options = ["--layers", "--timestamp", EPOCH, "--file", str(dockerfile), *secret]
        self._run("bud", *options, *_build_arguments(every), "--tag", name, str(context))

    def export(self, name: str, archive: Path) -> None:
        """An OCI archive."""
        self._run("push", name, f"oci-archive:{archive}:{name}")

    def finish(self) -> None:
        """buildah keeps its storage mounted, and a container of every stage that only names an image."""
        if not BUILDAH_STORAGE.exists():
            return
        self._run("rm", "--all")
        self._forget_mounts()

    def _forget_mounts(self) -> None:
        """Those of this build when it is done, and those of one that was killed, before it begins."""
        unmount_below(BUILDAH_STORAGE)
        shutil.rmtree(BUILDAH_RUN, ignore_errors=True)

    def _run(self, *arguments: str) -> str:
        environment = {**os.environ, "BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "overlay"}
        return run(*self._command, *arguments, env=environment)

    def _succeeds(self, *arguments: str) -> bool:
        return succeeds(*self._command, "--storage-driver", "overlay", *arguments)

    @property
    def _command(self) -> tuple[str, ...]:
        return ("buildah", "--root", str(BUILDAH_STORAGE), "--runroot", str(BUILDAH_RUN))


class Docker:
    """`docker build`, with the Dockerfiles' own default for Debian."""

    identity = f"docker {EPOCH}"

    def prepare(self) -> None:
        """Docker pulls what the first Dockerfile starts from."""

    def build(self, name: str, dockerfile: Path, context: Path, arguments: dict[str, str]) -> None:
        """Builds one image; unchanged layers come from Docker's own cache."""
        secret, given = _certificates()
        words = _build_arguments({"SOURCE_DATE_EPOCH": EPOCH, **given, **arguments})
        # Without a value: Docker takes it from the environment, and a password in it appears in no message of ours.
        proxies = [word for proxy in _PROXY_VARIABLES if os.environ.get(proxy) for word in ("--build-arg", proxy)]
        options = ("--quiet", *secret, *proxies, *words, "--file", dockerfile, "--tag", name)
        run("docker", "build", *options, context, env={**os.environ, **_BUILDKIT})

    def export(self, name: str, archive: Path) -> None:
        """A Docker archive."""
        run("docker", "save", "--output", archive, name)

    def finish(self) -> None:
        """Docker cleans up after itself."""


def _certificates() -> tuple[list[str], dict[str, str]]:
    """The options and the build arguments that let pip and npm trust whom the machine trusts."""
    bundle = next((os.environ[name] for name in _CERTIFICATE_VARIABLES if os.environ.get(name)), None)
    if bundle is None:
        return [], {}
    return ["--secret", f"id=ca,src={bundle}"], {"PIP_CERT": _CERTIFICATES, "NODE_EXTRA_CA_CERTS": _CERTIFICATES}


def _build_arguments(values: dict[str, str]) -> list[str]:
    return [word for key, value in values.items() for word in ("--build-arg", f"{key}={value}")]
