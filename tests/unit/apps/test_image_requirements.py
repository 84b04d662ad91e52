"""An image has what its extra of the package asks for: what is only in the tests' environment is missed in a pod."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(lines: list[str]) -> set[str]:
    """Names of requirements, as indexes compare them."""
    found = (re.match(r"[A-Za-z0-9._-]+", line) for line in lines)
    return {re.sub(r"[._-]+", "-", match[0]).lower() for match in found if match is not None}


@pytest.mark.parametrize("image", ["platform", "pollers"])
def test_an_image_has_what_its_extra_asks_for(image: str) -> None:
    """Pinned in its requirements; what the command line alone needs may be left out of an image."""
    asked = names([*PROJECT["dependencies"], *PROJECT["optional-dependencies"][image]])
    pinned = names((ROOT / "images" / f"requirements-{image}.txt").read_text().splitlines())
    assert asked <= pinned
