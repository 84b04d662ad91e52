"""What the images install is what the package says it needs."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(lines: list[str]) -> set[str]:
    """Names of distributions out of requirements."""
    return {re.split(r"[\[<>=!~; ]", line)[0].lower().replace("_", "-") for line in lines if line.strip()}


@pytest.mark.parametrize("image", ["platform", "pollers"])
def test_an_image_pins_everything_that_its_components_need(image: str) -> None:
    """A component whose image lacks one of them would not even start."""
    pinned = names((ROOT / "images" / f"requirements-{image}.txt").read_text().splitlines())
    assert names([*PROJECT["dependencies"], *PROJECT["optional-dependencies"][image]]) <= pinned
