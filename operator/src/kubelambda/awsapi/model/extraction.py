"""Takes the service models that we serve out of an installed botocore: `make aws-models`.

They are kept in the repository, so that the platform needs no botocore: it wants another major version of
python-dateutil than the kubernetes client does, and an image that nobody can reproduce would follow its releases.
"""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

SOURCES = {
    "lambda.json": "lambda/2015-03-31/service-2.json.gz",
    "application-autoscaling.json": "application-autoscaling/2016-02-06/service-2.json.gz",
}
_FOR_PEOPLE = {"documentation", "documentationUrl", "examples"}


def stripped(node: Any) -> Any:
    """The model without what only people read."""
    if isinstance(node, dict):
        return {name: stripped(value) for name, value in node.items() if name not in _FOR_PEOPLE}
    if isinstance(node, list):
        return [stripped(value) for value in node]
    return node


def document(data: Path, source: str) -> str:
    """A model as JSON, a line for each operation and shape: the next one's changes can be read in a diff."""
    with gzip.open(data / source, "rt") as file:
        model = json.load(file)
    parts = [f'"metadata": {json.dumps(model["metadata"], sort_keys=True)}']
    for section in ("operations", "shapes"):
        entries = (
            f"  {json.dumps(name)}: {json.dumps(stripped(found))}" for name, found in sorted(model[section].items())
        )
        parts.append(f'"{section}": {{\n' + ",\n".join(entries) + "\n}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    """Writes the models beside this file. The argument is botocore's folder `data`."""
    for name, source in SOURCES.items():
        Path(__file__).with_name(name).write_text(document(Path(sys.argv[1]), source))


if __name__ == "__main__":
    main()
