"""The README's own commands, run as they stand (the two make commands are what CI itself runs)."""

import json
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from installation.kubectl import kubectl

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", README, re.DOTALL)


def run(language: str, text: str, folder: Path) -> str:
    """Runs one block in the root of the repository, its files written to `folder`."""
    text = text.replace("helm install kubelambda", "helm upgrade --install --reuse-values kubelambda")
    for name in ("code.zip", "event.json", "answer.json"):
        text = text.replace(name, str(folder / name))
    command = ["bash", "-euo", "pipefail", "-c", text] if language == "bash" else ["python", "-c", text]
    finished = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ, timeout=240
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.exclusive
def test_every_block_of_the_readme_runs_in_order(tmp_path: Path) -> None:
    """Install, apply, wait, invoke with the aws cli, create with the aws cli, invoke with boto3."""
    blocks = [(language, text) for language, text in BLOCKS if "make demo" not in text]
    assert [language for language, _ in blocks] == ["bash", "bash", "bash", "python"]
    archive = tmp_path / "code.zip"
    with zipfile.ZipFile(archive, "w") as folder:
        folder.writestr("index.py", "def handler(event, context):\n    return {'by': 'the cli'}\n")
    printed = [run(language, text, tmp_path) for language, text in blocks]
    assert '{"hello": "you"}' in printed[1]
    assert '{"hello": "you"}' in printed[3]
    assert json.loads((tmp_path / "answer.json").read_text()) == {"by": "the cli"}
    kubectl("delete", "function", "hello", "from-cli")


def test_the_example_of_the_aws_cli_is_whole() -> None:
    """It makes, invokes and deletes its function, with whichever version of the aws cli there is."""
    assert '{"hello": "you"}' in run("bash", "examples/aws-cli.sh", ROOT)


def test_the_first_block_names_what_ci_runs() -> None:
    """`make test` is what `.ci/run` calls, and `make demo` comes before it."""
    steps = (ROOT / ".ci" / "run").read_text()
    for command in re.findall(r"^make \w+", BLOCKS[0][1], re.MULTILINE):
        assert command in steps


MAP = [name for row in re.findall(r"^\| (`[^|]+) \|", README, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize("folder", MAP)
def test_the_map_names_folders_that_exist(folder: str) -> None:
    """No room of the map is imaginary."""
    assert (ROOT / folder).is_dir()


def test_the_map_omits_no_folder() -> None:
    """Every layer of the package and every folder of the repository has a line."""
    layers = [path for path in (ROOT / "operator" / "src" / "kubelambda").iterdir() if (path / "__init__.py").exists()]
    folders = [
        path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".") and path.name != "dist"
    ]
    wanted = {str(path.relative_to(ROOT)) for path in [*layers, *folders]} - {"operator"}
    assert wanted <= {folder.removesuffix("/kubelambda") if folder.startswith("charts") else folder for folder in MAP}
