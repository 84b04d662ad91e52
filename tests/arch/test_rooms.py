"""The rooms of the controllers: a capability knows the machinery, and of another capability its facts alone."""

import ast
from pathlib import Path

import pytest

CONTROLLERS = Path(__file__).parent.parent.parent / "operator" / "src" / "kubelambda" / "controllers"
FILES = sorted(CONTROLLERS.glob("*/*.py"))
SERVICES = {("function", "code"), ("layer", "code")}
"""Who may use another capability as a service: a Function is deployed with its code, a Layer with its content."""


def imported(path: Path) -> set[tuple[str, str]]:
    """Capability and file of every import out of the controllers."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kubelambda.controllers."):
            parts = (node.module or "").split(".")[2:]
            found |= {(parts[0], name) for name in (parts[1:2] or [alias.name for alias in node.names])}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONTROLLERS)))
def test_capabilities_know_each_other_by_facts(path: Path) -> None:
    """What else they need of one another becomes a fact, a core decision or a service that is named here."""
    room = path.parent.name
    for other, name in imported(path):
        if other in (room, "machinery") or name.endswith("_facts"):
            continue
        assert room != "machinery", f"the machinery knows no capability: {other}/{name}"
        assert (room, other) in SERVICES, f"{room} uses {other}/{name}"


def test_every_controller_is_registered() -> None:
    """A reconciler that nobody runs is forgotten work."""
    registered = {name for _, name in imported(CONTROLLERS / "registry.py")}
    declaring = {
        path.stem
        for path in FILES
        if path.parent.name != "machinery"
        for node in ast.parse(path.read_text()).body
        if (isinstance(node, ast.FunctionDef) and node.name == "controller")
        or (
            isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "CONTROLLER" for t in node.targets)
        )
    }
    assert declaring <= registered
