"""`python -m kubelambda.apps NAME`: starts one component."""

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


def main() -> None:
    """Starts the component that the first argument names."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMPONENTS:
        sys.exit(f"usage: python -m kubelambda.apps {{{','.join(COMPONENTS)}}} [--help]")
    import_module(COMPONENTS[sys.argv.pop(1)]).main()


if __name__ == "__main__":
    main()
