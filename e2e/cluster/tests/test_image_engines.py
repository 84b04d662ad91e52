"""What Docker is asked for, with a stand-in for its client; and what its archives say. No engine is needed."""

import io
import json
import os
import tarfile
from pathlib import Path

import archives
import image_engines
import pytest

_CLIENT = """#!/bin/sh
printf '%s\\n' "$@" > {folder}/arguments
env > {folder}/environment
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a stand-in for the client writes what it was called with."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(_CLIENT.format(folder=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def build(folder: Path) -> tuple[list[str], list[str]]:
    """Arguments and environment of a build."""
    image_engines.Docker().build("localhost/name:1", folder / "Dockerfile", folder, {"BASE": "localhost/base:1"})
    return (folder / "arguments").read_text().splitlines(), (folder / "environment").read_text().splitlines()


def test_docker_builds_with_the_builder_of_its_engine(docker: Path) -> None:
    """The Dockerfiles mount secrets, which the builder that old clients choose by themselves does not know."""
    arguments, environment = build(docker)
    assert "BASE=localhost/base:1" in arguments
    assert "--secret" not in arguments
    assert {"DOCKER_BUILDKIT=1", "BUILDX_BUILDER=default"} <= set(environment)


def test_docker_gets_the_authorities_and_proxies_of_the_machine(docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy by name only: its password is in no command line, and so in no message."""
    monkeypatch.setenv("SSL_CERT_FILE", "/authorities.crt")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy:3128")
    arguments, environment = build(docker)
    assert "id=ca,src=/authorities.crt" in arguments
    assert "PIP_CERT=/run/secrets/ca" in arguments
    assert "HTTPS_PROXY" in arguments
    assert "HTTPS_PROXY=http://me:secret@proxy:3128" in environment
    assert not any("secret@" in word for word in arguments)


@pytest.mark.parametrize("configuration", ["0123abcd.json", "blobs/sha256/0123abcd"])
def test_docker_archives_name_their_image(tmp_path: Path, configuration: str) -> None:
    """As Docker writes them before and since version 25."""
    manifest = json.dumps([{"Config": configuration, "RepoTags": ["localhost/name:1"], "Layers": []}]).encode()
    entry = tarfile.TarInfo("manifest.json")
    entry.size = len(manifest)
    with tarfile.open(tmp_path / "archive.tar", "w") as archive:
        archive.addfile(entry, io.BytesIO(manifest))
    assert archives.docker_identity(tmp_path / "archive.tar") == ("localhost/name:1", "sha256:0123abcd")
