"""The shape of the tree: what newcomers rely on, held by tests."""

import ast
import operator
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "operator" / "src" / "kubelambda"
SOURCES = sorted(PACKAGE.rglob("*.py"))
FILE_LINES = 400
FUNCTION_LINES = 70
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc"}


def relative(path: Path) -> str:
    """A readable test id."""
    return str(path.relative_to(PACKAGE))


def test_operator_is_a_folder_and_never_a_package() -> None:
    """A package of that name would shadow the standard library's module."""
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert operator.itemgetter(0)("ab") == "a"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_files_and_functions_fit(path: Path) -> None:
    """Files stay under 400 lines and functions fit a screen."""
    text = path.read_text()
    assert len(text.splitlines()) <= FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= FUNCTION_LINES, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_every_module_says_what_it_is(path: Path) -> None:
    """A docstring on every module, and a noun for a name."""
    assert ast.get_docstring(ast.parse(path.read_text()))
    assert path.stem not in FORBIDDEN_NAMES


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").rglob("*.py")), ids=relative)
def test_decisions_are_pure(path: Path) -> None:
    """Core has no async, reads no clock and no environment."""
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"line {node.lineno} is asynchronous"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            assert name not in {"time.time", "time.monotonic", "os.environ", "datetime.now"}, (
                f"line {node.lineno}: {name}"
            )


def test_file_names_are_unique() -> None:
    """A newcomer's first guess is right: only a kind's model and its reconciler share a name."""
    kinds = {path.stem for path in (PACKAGE / "api" / "kinds").glob("*.py")}
    allowed = {"__init__", "__main__", "frontend", "crds"}
    found: dict[str, list[str]] = {}
    for path in SOURCES:
        if path.parent.name != "apps" and path.stem not in allowed:
            found.setdefault(path.stem, []).append(relative(path))
    twice = {
        name: paths
        for name, paths in found.items()
        if len(paths) > (2 if name in kinds and any(path.startswith("controllers/") for path in paths) else 1)
    }
    assert not twice


def test_class_names_are_unique() -> None:
    """One word, one meaning, in the whole package."""
    found: dict[str, list[str]] = {}
    for path in SOURCES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(relative(path))
    assert not {name: paths for name, paths in found.items() if len(paths) > 1}


def test_generated_definitions_are_current() -> None:
    """crds/ and the chart's copy are what the models generate."""
    python = ROOT / ".venv" / "bin" / "python"
    finished = subprocess.run(
        [python, "-m", "kubelambda.cli", "crds", "check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_make_help_explains_every_target() -> None:
    """The Makefile is the manual."""
    printed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    makefiles = [ROOT / "Makefile", ROOT / "e2e" / "cluster" / "cluster.mk"]
    phony = {
        name
        for path in makefiles
        for line in path.read_text().splitlines()
        if line.startswith(".PHONY:")
        for name in line.removeprefix(".PHONY:").split()
    }
    assert phony
    missing = {name for name in phony if f"  {name} " not in printed}
    assert not missing


@pytest.mark.parametrize("document", sorted((ROOT / "docs").rglob("*.md")), ids=lambda path: path.name)
def test_documents_name_files_that_exist(document: Path) -> None:
    """Paths of the package, as `agent/apis/control.py`, and of the repository."""
    for name in re.findall(r"`([\w./-]+/[\w.-]+\.(?:py|md|yaml|json))`", document.read_text()):
        assert (PACKAGE / name).exists() or (ROOT / name).exists(), name


def _sections(document: str) -> set[str]:
    """Numbers of a document's headings, rules and appendices."""
    text = (ROOT / "docs" / document).read_text()
    return set(re.findall(r"^(?:#+|-) (\d+(?:\.\d+)*[a-z]?)\b", text, re.MULTILINE)) | {
        f"Appendix {letter}" for letter in re.findall(r"^## Appendix ([A-Z])\.", text, re.MULTILINE)
    }


def _cited(section: str, known: set[str]) -> bool:
    """A section, or a numbered line within one that has no numbers below it."""
    return section in known or section.rpartition(".")[0] in known


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_what_the_code_cites_can_be_looked_up(path: Path) -> None:
    """§5.8 is in docs/semantics.md, DESIGN §4 in docs/design.md; no other document is cited by number."""
    text = path.read_text()
    design, semantics = _sections("design.md"), _sections("semantics.md")
    for document, section in re.findall(r"(?:([A-Z]+) )?§(\d+(?:\.\d+)*[a-z]?)", text):
        assert document in ("", "DESIGN"), f"{document} §{section}"
        assert _cited(section, design if document else semantics), f"{document} §{section}"
    for letter in re.findall(r"Appendix ([A-Z])\b", text):
        assert f"Appendix {letter}" in semantics


def test_decisions_are_numbered_once_and_say_so() -> None:
    """Each has a number of its own, in its name and in its heading, without a gap."""
    found = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [path.name[:4] for path in found] == [f"{number:04d}" for number in range(1, len(found) + 1)]
    for path in found:
        assert path.read_text().startswith(f"# {int(path.name[:4])}. "), path.name
