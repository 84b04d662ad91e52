"""The runtime process: spawned or pre-started, limited as Lambda's, and reaped by us, who are PID 1."""

import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from kubelambda.agent.process.configuration import Paths, Unusable
from kubelambda.agent.process.write_protection import forbid_writing
from kubelambda.agent.python_client import startup

_PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_LIMITS = (
    (resource.RLIMIT_NOFILE, 1024),
    (resource.RLIMIT_MEMLOCK, 65_536),
    (resource.RLIMIT_CORE, 10 << 30),
)
"""Lambda's (§3.4.2), soft and hard."""
_PROCESSES = 742
END_S = 0.5
"""So long one that is killed is waited for at most; not one that gives back much memory, or hangs in a file system."""
LOOK_S = 0.001
_WHOLE_MACHINE = "0 0 4294967295"
_NODE = "/usr/bin/node"
_NODE_CLIENT = "/var/runtime/node_modules/aws-lambda-ric/bin/index.mjs"
_NODE_OUTPUT = Path(__file__).with_name("blocking_output.cjs")


def make_undumpable() -> None:
    """Hides our memory and environment from user code, which runs under the same uid."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def adopt_orphans() -> None:
    """Makes us the parent of every process below us whose own parent ends, as process 1 of a container is anyway."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@dataclass(slots=True)
class Process:
    """A runtime process, leader of a session of its own."""

    pid: int
    channel: socket.socket | None = None

    def hand_over(self, variables: dict[str, str], task: Path) -> None:
        """Tells a pre-started process what to run."""
        if self.channel is None:
            raise RuntimeError("the process was not pre-started")
        message = json.dumps({"variables": variables, "task": str(task)}).encode()
        with self.channel as channel:
            channel.sendall(message)
        self.channel = None


def prefer_for_oom(pid: int) -> None:
    """Lets the kernel kill the runtime process before us when memory runs out."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")


def spawn(
    command: list[str], variables: dict[str, str], paths: Paths, output: int, folder: Path | None = None
) -> Process:
    """Starts a process in `folder`, that of the code unless it says another. Raises `Unusable` when it cannot."""
    try:
        started = subprocess.Popen(  # noqa: S603 - running what users bring is the purpose
            command,
            cwd=folder or paths.task,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=lambda: _prepare_child(paths),  # noqa: PLW1509 - we are single-threaded
        )
    except OSError as error:
        raise Unusable(f"{command[0]}: {error.strerror}") from error
    prefer_for_oom(started.pid)
    process = Process(started.pid)
    started.returncode = 0  # we reap it ourselves
    return process


def limit_child(paths: Paths) -> None:
    """For a new child: ends with us, cannot write where its code is, and has Lambda's limits (§3.4.2).

    The kernel counts processes by user, over all environments of a node that share their user id; one of them must not
    take from the others. So that limit is set where a pod has user ids of its own, and is the kubelet's elsewhere.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for kind, wanted in _LIMITS:
        _limit(kind, wanted)
    if _has_own_users():
        _limit(resource.RLIMIT_NPROC, _PROCESSES)
    forbid_writing([paths.task, paths.opt, paths.runtime])


def _prepare_child(paths: Paths) -> None:
    limit_child(paths)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # which we ignore


def _limit(kind: int, wanted: int) -> None:
    hard = resource.getrlimit(kind)[1]
    bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(kind, (bound, bound))


def _has_own_users() -> bool:
    """Whether our user namespace is not the node's own."""
    try:
        return " ".join(Path("/proc/self/uid_map").read_text().split()) != _WHOLE_MACHINE
    except OSError:
        return False


def command_of(
    bootstrap: list[str], prestart: str, handler: str, variables: dict[str, str], folders: list[Path]
) -> list[str]:
    """The command of a runtime process. Raises `Unusable` when no bootstrap is found (§3.4.1).

    A wrapper is started in its place, with it as arguments; unless it is the script of an image, which knows better.
    """
    if bootstrap:
        command = [*bootstrap, handler]
    elif prestart == "python":
        command = [sys.executable, startup.bootstrap_path()]
    elif prestart == "node":
        options = [*_heap(int(variables["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])), "--require", str(_NODE_OUTPUT)]
        command = [_NODE, *options, _NODE_CLIENT, handler]
    else:
        found = next((folder / "bootstrap" for folder in folders if (folder / "bootstrap").is_file()), None)
        if found is None:
            raise Unusable(f"Couldn't find valid bootstrap(s): {[str(folder / 'bootstrap') for folder in folders]}")
        command = [str(found)]
    wrapper = variables.get("AWS_LAMBDA_EXEC_WRAPPER")
    if Path(command[0]).is_relative_to(folders[-1]):
        return command  # it starts the wrapper itself, with the interpreter's own command
    # Lambda's own script executes the wrapper by a shell, whose status tells of one that is not there.
    return ["/bin/sh", "-c", 'exec "$0" "$@"', wrapper, *command] if wrapper else command


def _heap(memory_mb: int) -> list[str]:
    """Options that size the heap of Node.js by the function's memory: a tenth is for what is young.

    Left to itself it takes the container's limit at its start, which is that of any function until the pod is resized.
    """
    young = memory_mb // 10
    return [f"--max-semi-space-size={young // 2}", f"--max-old-space-size={memory_mb - young}"]


@dataclass(frozen=True, slots=True)
class Ended:
    """A child that ended: its wait status, and the most that it, or a process it waited for, had resident."""

    pid: int
    status: int
    peak_kb: int


def reap() -> list[Ended]:
    """Every child that ended, ours or adopted."""
    ended = []
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                break
            ended.append(Ended(pid, status, usage.ru_maxrss))
    return ended


def await_end(pid: int, seconds: float) -> None:
    """Returns once a child has ended, which is left to `reap`, or when the time is over."""
    deadline = time.monotonic() + seconds
    with contextlib.suppress(ChildProcessError):
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None and time.monotonic() < deadline:
            time.sleep(LOOK_S)


def exit_reason(status: int) -> str:
    """How Lambda words the end of a runtime process (§3.2)."""
    why = _exit_text(status)
    return f"Runtime exited with error: {why}" if why else "Runtime exited without providing a reason"


def extension_exit_reason(status: int) -> str:
    """How Lambda words the end of an extension that nobody had told to end."""
    return _exit_text(status) or "exit code 0"


def _exit_text(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        names = {9: "killed", 11: "segmentation fault", 15: "terminated"}
        return f"signal: {names.get(number) or signal.Signals(number).name.lower()}"
    code = os.waitstatus_to_exitcode(status)
    return f"exit status {code}" if code else ""
