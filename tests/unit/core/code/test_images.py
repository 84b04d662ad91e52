"""Names of images, and what registries say of them."""

from typing import Any

import pytest

from kubelambda.api.kinds.function_image import DeployedImage, ImageConfig
from kubelambda.core.code.image_manifest import UnusableImage, configuration_of, deployed_image, own_manifest
from kubelambda.core.code.image_reference import ImageReference, parse_image
from kubelambda.core.function.observation import Problem

DIGEST = "0" * 64
REFERENCE = ImageReference("registry.example:5000", "team/app", "v1", "")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("registry.example:5000/team/app:v1", REFERENCE),
        ("localhost/app", ImageReference("localhost", "app", "latest", "")),
        (f"r.example/a@sha256:{DIGEST}", ImageReference("r.example", "a", "latest", DIGEST)),
        (f"r.example/a:v1@sha256:{DIGEST}", ImageReference("r.example", "a", "v1", DIGEST)),
        (
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1.0",
            ImageReference("123456789012.dkr.ecr.us-east-1.amazonaws.com", "app", "1.0", ""),
        ),
    ],
)
def test_a_name_has_a_registry_a_repository_and_a_tag_or_digest(uri: str, expected: ImageReference) -> None:
    """In the forms that people write; what is asked for is the digest where there is one."""
    assert parse_image(uri) == expected
    assert expected.wanted == (f"sha256:{DIGEST}" if expected.digest else expected.tag)
    assert expected.pinned("1" * 64).endswith(f"{expected.path}@sha256:{'1' * 64}")


@pytest.mark.parametrize(
    "uri", ["app", "team/app:v1", "r.example/App", "r.example/a:", "r.example/a@sha256:00", "r.example/", ""]
)
def test_what_is_no_name_is_said(uri: str) -> None:
    """A registry has to be named, as in Lambda."""
    found = parse_image(uri)
    assert isinstance(found, Problem)
    assert found.terminal


def test_an_index_leads_to_the_image_of_our_platform() -> None:
    """What is none leads nowhere, and one without is unusable."""
    entry = {"digest": f"sha256:{DIGEST}", "platform": {"os": "linux", "architecture": "amd64"}}
    other = {"digest": "sha256:" + "1" * 64, "platform": {"os": "linux", "architecture": "arm64"}}
    found = own_manifest({"manifests": [other, entry]})
    assert found is not None
    assert found.sha256 == DIGEST
    assert own_manifest({"config": {}}) is None
    with pytest.raises(UnusableImage, match="linux/amd64"):
        own_manifest({"manifests": [other]})


@pytest.mark.parametrize("manifest", [{}, {"config": None}, {"config": {"digest": "md5:0"}}, {"config": {}}])
def test_a_manifest_that_names_no_configuration_is_unusable(manifest: dict[str, Any]) -> None:
    """Whatever it has instead."""
    with pytest.raises(UnusableImage):
        configuration_of(manifest)


def test_an_image_is_pinned_and_says_what_it_runs() -> None:
    """By the digest of what was found under its name."""
    settings = {"Entrypoint": ["/entry"], "Cmd": ["app.handler"], "WorkingDir": "/var/task"}
    found = deployed_image("r:v1", REFERENCE, DIGEST, {"os": "linux", "architecture": "amd64", "config": settings})
    assert found.reference == f"registry.example:5000/team/app@sha256:{DIGEST}"
    assert (found.digest, found.arguments, found.folder) == (DIGEST, ("/entry", "app.handler"), "/var/task")
    with pytest.raises(UnusableImage, match="linux/arm64"):
        deployed_image("r:v1", REFERENCE, DIGEST, {"os": "linux", "architecture": "arm64"})


@pytest.mark.parametrize(
    ("config", "arguments", "folder"),
    [
        ({}, ("/entry", "cmd"), "/w"),
        ({"command": ["mine"]}, ("/entry", "mine"), "/w"),
        ({"entry_point": ["/mine"]}, ("/mine",), "/w"),
        ({"entry_point": ["/mine"], "command": ["a", "b"], "working_directory": "/x"}, ("/mine", "a", "b"), "/x"),
    ],
)
def test_the_function_says_what_is_run_instead(config: dict[str, Any], arguments: tuple[str, ...], folder: str) -> None:
    """As `docker run` does: an entry point of its own leaves the image's command behind."""
    image = DeployedImage(
        uri="u",
        reference="r",
        entry_point=["/entry"],
        command=["cmd"],
        working_directory="/w",
        config=ImageConfig(**config),
    )
    assert (image.arguments, image.folder) == (arguments, folder)
