"""Starts the agent: pre-start the runtime process, then serve the Runtime API and the control API until told to end."""

# To be run by this file's path: `-m` would leave traces in the runtime process that is forked from this one.
# Hardly any module is imported until it has what it needs.
import _signal  # type: ignore[import-not-found]
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubelambda.agent.process.process import Process
    from kubelambda.agent.sandbox.closure import Closure
    from kubelambda.wire.event_loop import EventLoop

_SIGTERM = 15
_PACKAGES = os.path.realpath(__file__).rpartition("/kubelambda/")[0]
_RUNTIME_API_PORT = "9001"


def main() -> None:
    """Runs until SIGTERM; exits 0 once the invocation in flight has finished."""
    # Process 1 ignores signals that it has no handler for: asked to end while it starts, it would never end.
    _signal.signal(_SIGTERM, lambda *_: os._exit(0))
    sys.path[0] = _PACKAGES
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
    from kubelambda.agent.process import prestart  # noqa: PLC0415

    return prestart.python(output, modules)


def _serve(source: int, output: int, kind: str, prestarted: "Process | None", api_port: int) -> None:
    # Imported after the fork, so that the runtime process does not carry it.
    import gc  # noqa: PLC0415
    import json  # noqa: PLC0415
    import math  # noqa: PLC0415
    import signal  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    from kubelambda.agent.apis.control import Control  # noqa: PLC0415
    from kubelambda.agent.apis.runtime_api import RuntimeApi  # noqa: PLC0415
    from kubelambda.agent.log.environment_log import EnvironmentLog  # noqa: PLC0415
    from kubelambda.agent.process import process  # noqa: PLC0415
    from kubelambda.agent.process.configuration import Paths  # noqa: PLC0415
    from kubelambda.agent.process.memory import Memory  # noqa: PLC0415
    from kubelambda.agent.process.runtime_process import RuntimeProcess  # noqa: PLC0415
    from kubelambda.agent.sandbox.sandbox import Sandbox  # noqa: PLC0415
    from kubelambda.api import environment_protocol, limits  # noqa: PLC0415
    from kubelambda.wire.connections import Bounds, Connections  # noqa: PLC0415
    from kubelambda.wire.event_loop import EventLoop  # noqa: PLC0415
    from kubelambda.wire.server import Connection  # noqa: PLC0415

    process.make_undumpable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the function may send it: its user id is ours
    process.adopt_orphans()
    loop = EventLoop()
    control_port = int(os.environ.get(environment_protocol.ENV_CONTROL_PORT, environment_protocol.CONTROL_PORT))
    root = Path(os.environ.get(environment_protocol.ENV_ROOT, "/"))
    log = EnvironmentLog(sys.stdout.fileno(), source, loop)
    paths = Paths(root / "var/task", root / "opt", root / "var/runtime", f"127.0.0.1:{api_port}")
    runtime = RuntimeProcess(
        paths=paths,
        bootstrap=json.loads(os.environ.get(environment_protocol.ENV_BOOTSTRAP, "[]")),
        prestart=kind,
        prestarted=prestarted,
        output=output,
        loop=loop,
    )
    memory = Memory(loop, lambda: runtime.pid, root / "sys/fs/cgroup")
    sandbox = Sandbox(paths=paths, runtime=runtime, log=log, memory=memory, loop=loop, finished=loop.stop)
    closure = _closure(loop)
    control = Control(
        sandbox, os.environ[environment_protocol.ENV_POOL_TOKEN_SHA256], lambda: closure.why if closure else ""
    )
    api = RuntimeApi(sandbox)
    loop.on_signal(signal.SIGTERM, sandbox.drain)
    # The function's own processes, whom its timeout ends; and frontends, whose connections may be idle for ever.
    inside = Connections(
        Bounds(math.inf, math.inf, math.inf, math.inf, connections=256, buffered_bytes=8 * limits.RESPONSE_MAX_BYTES),
        loop.call_later,
    )
    outside = Connections(
        Bounds(idle_s=60.0, connections=256, buffered_bytes=limits.ZIP_MAX_BYTES + 4 * limits.RESPONSE_MAX_BYTES),
        loop.call_later,
    )
    loop.listen(
        "127.0.0.1",
        api_port,
        lambda: Connection(api.serve, max_body=0, admit=api.admit, connections=inside),
    )
    loop.listen(
        os.environ.get(environment_protocol.ENV_CONTROL_HOST, "0.0.0.0"),  # noqa: S104 - the pod's address
        control_port,
        lambda: Connection(control.serve, max_body=0, admit=control.admit, connections=outside),
    )
    if closure is not None:
        closure.begin()
    runtime.reap()  # it may have ended before we heard of it
    gc.freeze()  # what is here now stays: collections need not visit it
    loop.run()


def _closure(loop: "EventLoop") -> "Closure | None":
    """What finds out whether an environment that is born closed is."""
    from kubelambda.api import environment_protocol  # noqa: PLC0415

    check = os.environ.get(environment_protocol.ENV_CLOSURE)
    if not check:
        return None
    from kubelambda.agent.sandbox.closure import Closure  # noqa: PLC0415

    return Closure(environment_protocol.parse_closure_check(check), loop)


if __name__ == "__main__":
    main()
