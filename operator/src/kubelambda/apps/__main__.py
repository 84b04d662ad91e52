"""`python -m kubelambda.apps NAME`: starts one component."""

import os
import sys
from importlib import import_module

COMPONENTS = {
    "operator": "kubelambda.apps.operator",
    "frontend": "kubelambda.apps.frontend",
    "awsapi": "kubelambda.apps.awsapi",
    "code-store": "kubelambda.apps.code_store",
    "code-fetcher": "kubelambda.apps.code_fetcher",
    "code-key": "kubelambda.apps.code_key",
    "events": "kubelambda.apps.events",
    "pollers": "kubelambda.apps.pollers",
    "caller-proof": "kubelambda.apps.caller_proof",
    "network-probe": "kubelambda.apps.network_probe",
}
_CLUSTER_ONLY = ("frontend",)
"""Speak TLS with the API server alone, whose authority they are given. Those of the system are then looked up when
one is needed, in their folder, and not read at the start: 148 of them are 2 MB of each process.
"""


def main() -> None:
    """Starts the component that the first argument names."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMPONENTS:
        sys.exit(f"usage: python -m kubelambda.apps {{{','.join(COMPONENTS)}}} [--help]")
    name = sys.argv.pop(1)
    if name in _CLUSTER_ONLY:
        os.environ.setdefault("SSL_CERT_FILE", os.devnull)
    import_module(COMPONENTS[name]).main()


if __name__ == "__main__":
    main()
