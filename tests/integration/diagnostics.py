"""What is told of a failed test: its objects as they stand, and what our components said of them."""

import json
from pathlib import Path
from typing import Any, Final

from tests.integration.control_plane import ControlPlane
from tests.integration.processes import Installation

_KINDS: Final = "functions,functionversions,aliases,layers,layerversions,eventsourcemappings,invokeendpoints"
_LINES: Final = 40
"""Of each log: the last that name the namespace, and as many of those that warn."""


def told(control_plane: ControlPlane, installation: Installation | None, namespaces: set[str]) -> str:
    """Statuses of the objects in `namespaces`, and lines of logs about them."""
    found = [line for namespace in sorted(namespaces) for line in _objects(control_plane, namespace)]
    for component in installation.components if installation is not None else ():
        found.append(f"-- {component.name}, exit code {component.process.poll()}")
        found += _lines(component.log, namespaces)
    return "\n".join(found)


def _objects(control_plane: ControlPlane, namespace: str) -> list[str]:
    listed = control_plane.kubectl("get", _KINDS, "--namespace", namespace, "--output", "json")
    if listed.returncode:
        return [listed.stderr]
    bodies: list[dict[str, Any]] = json.loads(listed.stdout)["items"]
    return [
        f"{body['kind']} {body['metadata']['name']} of generation {body['metadata']['generation']}: "
        f"{json.dumps(body.get('status'))}"
        for body in bodies
    ]


def _lines(log: Path, namespaces: set[str]) -> list[str]:
    lines = log.read_text(errors="replace").splitlines()
    about = [line for line in lines if any(namespace in line for namespace in namespaces)]
    warned = [line for line in lines if "WARNING" in line or "ERROR" in line]
    return [*dict.fromkeys(about[-_LINES:] + warned[-_LINES:])]
