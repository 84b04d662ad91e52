"""Starts the agent: pre-start the runtime process, then serve the Runtime API and the control API until told to end."""

import gc
import json
import math
import os
import signal
import sys
from pathlib import Path

from kubelambda.agent.process import prestart, process
from kubelambda.api import environment_protocol, limits


def main() -> None:
    """Runs until SIGTERM; exits 0 once the invocation in flight has finished."""
    # Process 1 ignores signals that it has no handler for: asked to end while it starts, it would never end.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    source, output = os.pipe()
    kind = os.environ.get(environment_protocol.ENV_PRESTART, "")
    api_port = int(os.environ.get(environment_protocol.ENV_RUNTIME_API_PORT, environment_protocol.RUNTIME_API_PORT))
    prestarted = prestart.python(output, f"127.0.0.1:{api_port}") if kind == "python" else None
    process.make_undumpable()
    _serve(source, output, kind, prestarted, api_port)


def _serve(source: int, output: int, kind: str, prestarted: process.Process | None, api_port: int) -> None:
    # Imported after the fork, so that the runtime process does not carry it.
    from kubelambda.agent.apis.control import Control  # noqa: PLC0415
    from kubelambda.agent.apis.runtime_api import RuntimeApi  # noqa: PLC0415
    from kubelambda.agent.log.environment_log import EnvironmentLog  # noqa: PLC0415
    from kubelambda.agent.process.configuration import Paths  # noqa: PLC0415
    from kubelambda.agent.process.memory import Memory  # noqa: PLC0415
    from kubelambda.agent.process.runtime_process import RuntimeProcess  # noqa: PLC0415
    from kubelambda.agent.sandbox.sandbox import Sandbox  # noqa: PLC0415
    from kubelambda.wire.connections import Bounds, Connections  # noqa: PLC0415
    from kubelambda.wire.event_loop import EventLoop  # noqa: PLC0415
    from kubelambda.wire.server import Connection  # noqa: PLC0415

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
    control = Control(sandbox, os.environ[environment_protocol.ENV_POOL_TOKEN_SHA256])
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
        lambda: Connection(api.serve, max_body=limits.RESPONSE_MAX_BYTES, connections=inside),
    )
    loop.listen(
        os.environ.get(environment_protocol.ENV_CONTROL_HOST, "0.0.0.0"),  # noqa: S104 - the pod's address
        control_port,
        lambda: Connection(control.serve, max_body=0, admit=control.admit, connections=outside),
    )
    runtime.reap()  # it may have ended before we heard of it
    gc.freeze()  # what is here now stays: collections need not visit it
    loop.run()


if __name__ == "__main__":
    main()
