"""Writes what proves one role to the frontends into a file: for a component that does not get the installation's key.

It runs to its end before that component, as an init container that alone mounts the key.
"""

from pathlib import Path

from kubelambda.apps import options
from kubelambda.core.environment.component_callers import CallerRole, caller_proof

PATH = Path("/run/kubelambda/caller")


def main() -> None:
    """Writes the file that nobody but its owner may read."""
    parser = options.parser(__doc__)
    parser.add_argument("role", type=CallerRole, choices=list(CallerRole), help="the role to prove")
    parser.add_argument("--file", type=Path, default=PATH, help="where the proof goes")
    arguments = parser.parse_args()
    proof = caller_proof(options.installation_key(arguments), arguments.role)
    arguments.file.unlink(missing_ok=True)
    arguments.file.touch(mode=0o600)
    arguments.file.write_text(proof)
