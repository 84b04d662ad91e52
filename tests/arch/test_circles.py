"""No file needs, through others, itself: not even for the names of types."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parent.parent.parent / "operator" / "src" / "kubelambda"


def modules() -> dict[str, Path]:
    """Every file by the name it is imported by."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = ("kubelambda", *path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """The project's files that a file imports, wherever in it: in functions and for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} & known.keys() or {node.module}
    return found & known.keys()


def test_there_are_no_circles() -> None:
    """What is in a circle can only be understood, moved and tested as a whole."""
    known = modules()
    try:
        TopologicalSorter({name: imports(path, known) for name, path in known.items()}).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None
