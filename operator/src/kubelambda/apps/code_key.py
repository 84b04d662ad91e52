"""Writes the key of who takes code in into a file: for the control API, which does not get the installation's key.

It runs to its end before that component, as an init container that alone mounts the key.
"""

from pathlib import Path

from kubelambda.apps import options
from kubelambda.core.environment import tokens

PATH = Path("/run/kubelambda/code-key")


def main() -> None:
    """Writes the file that nobody but its owner may read."""
    parser = options.parser(__doc__)
    parser.add_argument("--file", type=Path, default=PATH, help="where the code key goes")
    arguments = parser.parse_args()
    code_key = tokens.code_key(options.installation_key(arguments))
    arguments.file.unlink(missing_ok=True)
    arguments.file.touch(mode=0o600)
    arguments.file.write_bytes(code_key)
