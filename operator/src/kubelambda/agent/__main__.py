"""Starts the agent: pre-start the runtime process, then serve the Runtime API and the control API until told to end."""

# To be run by this file's path: `-m` would leave traces in the runtime process that is forked from this one.
# Hardly any module is imported until it has what it needs.
import _signal  # type: ignore[import-not-found]
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubelambda.agent.process.process import Process

_SIGTERM = 15
_PACKAGES = os.path.realpath(__file__).rpartition("/kubelambda/")[0]
_RUNTIME_API_PORT = "9001"
_ROOT_DIRECTORY = "root-directory"  # `ROOT_DIRECTORY_ARGUMENT` of the environment protocol


def main() -> None:
    """Runs until SIGTERM; exits 0 once the invocation in flight has finished."""
    # Process 1 ignores signals that it has no handler for: asked to end while it starts, it would never end.
    _signal.signal(_SIGTERM, lambda *_: os._exit(0))
    sys.path[0] = _PACKAGES
    if sys.argv[1:2] == [_ROOT_DIRECTORY]:
        from kubelambda.agent import root_directory  # noqa: PLC0415

        sys.exit(root_directory.main(sys.argv[2:]))
    source, output = os.pipe()
    api_port = int(os.environ.get("KUBELAMBDA_RUNTIME_API_PORT", _RUNTIME_API_PORT))
    kind = os.environ.get("KUBELAMBDA_PRESTART", "")
    prestarted = _prestarted_python(output, api_port) if kind == "python" else None
    _serve(source, output, kind, prestarted, api_port)


def _prestarted_python(output: int, api_port: int) -> "Process":
    """Imports what a runtime process needs, and only then what the agent needs."""
    from kubelambda.agent.python_client import startup  # noqa: PLC0415

    os.environ["AWS_LAMBDA_RUNTIME_API"] = f"127.0.0.1:{api_port}"
    startup.prepare()
    sys.path[0] = _PACKAGES
    modules = frozenset(sys.modules)
    from pathlib import Path  # noqa: PLC0415

    from kubelambda.agent.process import prestart  # noqa: PLC0415
    from kubelambda.agent.process.configuration import Paths  # noqa: PLC0415

    root = Path(os.environ.get("KUBELAMBDA_ROOT", "/"))
    return prestart.python(output, modules, Paths.below(root, api_port))


def _serve(source: int, output: int, kind: str, prestarted: "Process | None", api_port: int) -> None:
    # Imported after the fork, so that the runtime process does not carry it.
    from kubelambda.agent import assembly  # noqa: PLC0415

    assembly.serve(source, output, kind, prestarted, api_port)


if __name__ == "__main__":
    main()
