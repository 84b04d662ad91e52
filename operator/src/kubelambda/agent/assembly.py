"""Puts an agent together, and serves until it is told to end."""

import gc
import json
import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from kubelambda.agent.apis.control import Control
from kubelambda.agent.apis.runtime_api import RuntimeApi
from kubelambda.agent.log.environment_log import EnvironmentLog
from kubelambda.agent.process import process
from kubelambda.agent.process.configuration import Paths
from kubelambda.agent.process.memory import Memory
from kubelambda.agent.process.process import Process
from kubelambda.agent.process.process_count import ProcessCount
from kubelambda.agent.process.runtime_process import RuntimeProcess
from kubelambda.agent.sandbox.function_bounds import FunctionBounds
from kubelambda.agent.sandbox.sandbox import Sandbox
from kubelambda.agent.sandbox.temporary_space import TemporarySpace
from kubelambda.api import environment_protocol, limits
from kubelambda.wire.connections import RELAY_S, Bounds, Connections
from kubelambda.wire.event_loop import EventLoop
from kubelambda.wire.server import Connection

_FAREWELL_S = 0.1
TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubelambda.agent.sandbox.closure import Closure


class Farewell:
    """Ends the loop once all that was answered, or printed, is on its way.

    A caller may read slowly what a function streamed, and a collector its last lines.
    """

    def __init__(self, loop: EventLoop, log: EnvironmentLog) -> None:
        self._loop = loop
        self._log = log
        self.connections: Connections | None = None
        """Those of frontends."""

    def __call__(self) -> None:
        """Ends it now or soon; Kubernetes does at the end of the grace period."""
        written = self._log.flush()
        if not written or (self.connections is not None and any(each.sending for each in self.connections)):
            self._loop.call_later(_FAREWELL_S, self)
        else:
            self._loop.stop()


def serve(source: int, output: int, kind: str, prestarted: Process | None, api_port: int) -> None:
    """Until SIGTERM. `source` and `output` are the ends of the pipe that the runtime process writes to."""
    process.make_undumpable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the function may send it: its user id is ours
    process.adopt_orphans()
    loop = EventLoop()
    shared = os.environ.get(environment_protocol.ENV_SHARED_FOLDER)
    if shared:
        _serve_container(loop, Path(shared), api_port)
        return
    root = Path(os.environ.get(environment_protocol.ENV_ROOT, "/"))
    paths, cgroups = Paths.below(root, api_port), root / "sys/fs/cgroup"
    runtime = RuntimeProcess(
        paths=paths,
        bootstrap=json.loads(os.environ.get(environment_protocol.ENV_BOOTSTRAP, "[]")),
        prestart=kind,
        prestarted=prestarted,
        output=output,
        loop=loop,
    )
    log = EnvironmentLog(sys.stdout.fileno(), source, loop)
    farewell = Farewell(loop, log)
    sandbox = Sandbox(
        paths=paths,
        runtime=runtime,
        log=log,
        memory=Memory(loop, lambda: runtime.pid, cgroups),
        bounds=FunctionBounds(loop, [_space(root), ProcessCount(cgroups)]),
        loop=loop,
        finished=farewell,
    )
    _run(loop, sandbox, farewell, api_port, lambda: "")


def _serve_container(loop: EventLoop, shared: Path, api_port: int) -> None:
    """Beside the container of a function's own image."""
    from kubelambda.agent.process import container_process  # noqa: PLC0415 - few environments need it

    root = Path(os.environ.get(environment_protocol.ENV_ROOT, "/"))
    launcher = os.environ.get(environment_protocol.ENV_LAUNCHER) or environment_protocol.LAUNCHER
    source, _ = container_process.prepare(shared, Path(launcher))
    runtime = container_process.ContainerProcess(shared, loop)
    memory = Memory(loop, lambda: None, root / "nobody's")  # the control group that we see is our own
    processes = ProcessCount(root / "nobody's")
    runtime.on_memory, runtime.on_process_count = memory.marked, processes.counted_by
    log = EnvironmentLog(sys.stdout.fileno(), source, loop)
    farewell = Farewell(loop, log)
    sandbox = Sandbox(
        paths=Paths(root / "var/task", root / "opt", root / "var/runtime", f"127.0.0.1:{api_port}"),
        runtime=runtime,
        log=log,
        memory=memory,
        bounds=FunctionBounds(loop, [_space(root), processes]),
        loop=loop,
        finished=farewell,
    )
    runtime.on_term = sandbox.drain
    _run(loop, sandbox, farewell, api_port, lambda: runtime.absence)


def _run(loop: EventLoop, sandbox: Sandbox, farewell: Farewell, api_port: int, absence: Callable[[], str]) -> None:
    """`absence` says why nothing could be started, if so."""
    closure = _closure(loop)
    loop.on_signal(signal.SIGTERM, sandbox.drain)
    control_port = int(os.environ.get(environment_protocol.ENV_CONTROL_PORT, environment_protocol.CONTROL_PORT))
    _listen_inside(loop, RuntimeApi(sandbox, loop, (api_port, control_port)), api_port)
    pool_token = os.environ[environment_protocol.ENV_POOL_TOKEN_SHA256]
    control = Control(sandbox, pool_token, lambda: absence() or (closure.why if closure else ""))
    farewell.connections = _listen_outside(loop, control, control_port)
    if closure is not None:
        closure.begin()
    sandbox.runtime.reap()  # it may have ended before we heard of it
    gc.freeze()  # what is here now stays: collections need not visit it
    loop.run()


def _space(root: Path) -> TemporarySpace:
    megabytes = int(os.environ.get(environment_protocol.ENV_TMP_MB) or 0)
    return TemporarySpace(root / "tmp", megabytes << 20)


def _listen_inside(loop: EventLoop, api: RuntimeApi, port: int) -> None:
    """For the function's own processes, whom its timeout ends."""
    bounds = Bounds(
        math.inf, math.inf, math.inf, math.inf, connections=256, buffered_bytes=8 * limits.RESPONSE_MAX_BYTES
    )
    inside = Connections(bounds, loop.call_later)
    loop.listen(
        "127.0.0.1",
        port,
        lambda: Connection(api.serve, max_body=0, admit=api.admit, connections=inside, gathers=True),
    )


def _listen_outside(loop: EventLoop, control: Control, port: int) -> Connections:
    """For frontends, whose connections may be idle for ever."""
    buffered = limits.ZIP_MAX_BYTES + 4 * limits.RESPONSE_MAX_BYTES
    # A frontend that does not read has a caller who does not: it waits for that one less long than we for it.
    bounds = Bounds(write_s=RELAY_S, idle_s=60.0, connections=256, buffered_bytes=buffered)
    outside = Connections(bounds, loop.call_later)
    loop.listen(
        os.environ.get(environment_protocol.ENV_CONTROL_HOST, "0.0.0.0"),  # noqa: S104 - the pod's address
        port,
        lambda: Connection(control.serve, max_body=0, admit=control.admit, connections=outside),
    )
    return outside


def _closure(loop: EventLoop) -> "Closure | None":
    """What finds out whether an environment that is born closed is."""
    check = os.environ.get(environment_protocol.ENV_CLOSURE)
    if not check:
        return None
    from kubelambda.agent.sandbox.closure import Closure  # noqa: PLC0415 - few environments need it

    return Closure(environment_protocol.parse_closure_check(check), loop)
