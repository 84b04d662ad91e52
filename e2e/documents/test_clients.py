"""The pages of the clients, run as they stand: each page's blocks in order, against the installation."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = ROOT / "docs" / "clients"
SAYS = {
    "boto3.md": ['{"hello": "you"}', "from-boto3"],
    "aws-cli.md": ['"cli"', "live"],
    "sam.md": ['{"stage": "test", "greeting": "hello you"}'],
    "powertools.md": ['{"batchItemFailures": [{"itemIdentifier": "2"}]}'],
    "serverless.md": [""],
}
"""What each page prints, among other things."""


@pytest.mark.parametrize("page", SAYS)
def test_every_block_of_a_page_runs(page: str) -> None:
    """Commands that fail, or say something else than the page promises, are a bug of the page."""
    printed = run_blocks(PAGES / page)
    for wanted in SAYS[page]:
        assert wanted in printed


def test_what_the_page_about_code_signing_says_is_so() -> None:
    """Unsigned code is refused, the same code signed is deployed and invoked."""
    printed = run_blocks(PAGES.parent / "code-signing.md")
    assert "(CodeVerificationFailedException)" in printed
    assert '"signed"' in printed


def run_blocks(page: Path) -> str:
    """Runs the blocks of a page in their order; what they print."""
    blocks = re.findall(r"```(bash|python)\n(.*?)```", page.read_text(), re.DOTALL)
    assert blocks
    printed = ""
    for language, text in blocks:
        # The callers' environment has uv and no pip, and our command without what it needs.
        whole = text.replace("pip install", "uv pip install")
        whole = re.sub(r"\bkubelambda (?=import|sign)", f"{ROOT / '.venv' / 'bin' / 'kubelambda'} ", whole)
        command = ["bash", "-euo", "pipefail", "-c", whole] if language == "bash" else ["python", "-c", whole]
        finished = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ, timeout=240
        )
        assert finished.returncode == 0, finished.stderr
        printed += finished.stderr + finished.stdout
    return printed


def test_every_page_is_run_or_says_why_not() -> None:
    """Terraform's provider cannot be had; the calls that it makes are a test of their own."""
    assert {path.name for path in PAGES.glob("*.md")} == {*SAYS, "terraform.md"}
    assert "tests/integration/control_api/test_terraform.py" in (PAGES / "terraform.md").read_text()
