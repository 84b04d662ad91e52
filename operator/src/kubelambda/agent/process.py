"""The runtime process: pre-started or spawned, killed as a group, and reaped by us, who are PID 1."""

import contextlib
import ctypes
import gc
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelambda.agent.configuration import Unusable

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_OPEN_FILES = 1024
_PYTHON_CLIENT = [sys.executable, "-m", "awslambdaric"]
_NODE_CLIENT = ["/usr/bin/node", "/var/runtime/node_modules/aws-lambda-ric/bin/index.mjs"]


def make_undumpable() -> None:
    """Hides our memory and environment from user code, which runs under the same uid."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


@dataclass(slots=True)
class Process:
    """A runtime process, leader of a process group of its own."""

    pid: int
    channel: socket.socket | None = None

    def kill(self) -> None:
        """Kills the whole group at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def hand_over(self, handler: str, variables: dict[str, str], task: Path) -> None:
        """Tells a pre-started process what to run."""
        if self.channel is None:
            raise RuntimeError("the process was not pre-started")
        message = json.dumps({"handler": handler, "variables": variables, "task": str(task)}).encode()
        with self.channel as channel:
            channel.sendall(message)
        self.channel = None


def prestart_python(output: int, runtime_api: str) -> Process:
    """Forks a runtime process with the official client imported. Must be called before any event loop exists."""
    ours, theirs = socket.socketpair()
    os.environ["AWS_LAMBDA_RUNTIME_API"] = runtime_api  # the client's native part reads it when it is loaded
    import awslambdaric.__main__  # noqa: PLC0415, F401 - the import is what is paid in advance

    gc.collect()
    gc.freeze()
    pid = os.fork()
    if pid:
        theirs.close()
        _prefer_for_oom(pid)
        return Process(pid, ours)
    ours.close()
    try:
        _become_child(output)
        _run_python(theirs)
    except BaseException as error:  # noqa: BLE001 - whatever it is, this process must not return into its parent's code
        code = error.code if isinstance(error, SystemExit) else 1
        if not isinstance(error, SystemExit):
            sys.excepthook(type(error), error, error.__traceback__)
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)
    os._exit(0)


def _run_python(channel: socket.socket) -> None:
    received = b""
    with channel:
        while chunk := channel.recv(65_536):
            received += chunk
    if not received:
        return
    message: dict[str, Any] = json.loads(received)
    os.environ.clear()
    os.environ.update(message["variables"])
    os.chdir(message["task"])
    sys.path[:] = [message["task"], *message["variables"].get("PYTHONPATH", "").split(":"), *sys.path]
    sys.argv = ["bootstrap", message["handler"]]
    import awslambdaric.bootstrap  # noqa: PLC0415
    from awslambdaric.__main__ import main  # noqa: PLC0415

    log_format = os.environ.get("AWS_LAMBDA_LOG_FORMAT")
    awslambdaric.bootstrap._AWS_LAMBDA_LOG_FORMAT = awslambdaric.bootstrap.LogFormat.from_str(log_format)  # noqa: SLF001
    main(sys.argv)


def _become_child(output: int) -> None:
    libc = ctypes.CDLL(None)
    os.setsid()
    libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)


def _prefer_for_oom(pid: int) -> None:
    """Lets the kernel kill the runtime process before us when memory runs out."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")


def spawn(command: list[str], variables: dict[str, str], task: Path, output: int) -> Process:
    """Starts a runtime process from scratch. Raises `Unusable` when it cannot be started."""
    try:
        started = subprocess.Popen(  # noqa: S603 - running what users bring is the purpose
            command,
            cwd=task,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=_limit,  # noqa: PLW1509 - we are single-threaded
        )
    except OSError as error:
        raise Unusable(f"{command[0]}: {error.strerror}") from error
    _prefer_for_oom(started.pid)
    process = Process(started.pid)
    started.returncode = 0  # we reap it ourselves
    return process


def _limit() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))


def command_of(
    bootstrap: list[str], prestart: str, handler: str, variables: dict[str, str], folders: list[Path]
) -> list[str]:
    """The command of a runtime process. Raises `Unusable` when no bootstrap is found (§3.4.1)."""
    if bootstrap:
        command = [*bootstrap, handler]
    elif prestart == "python":
        command = [*_PYTHON_CLIENT, handler]
    elif prestart == "node":
        command = [*_NODE_CLIENT, handler]
    else:
        found = next((folder / "bootstrap" for folder in folders if (folder / "bootstrap").is_file()), None)
        if found is None:
            raise Unusable(f"Couldn't find valid bootstrap(s): {[str(folder / 'bootstrap') for folder in folders]}")
        command = [str(found)]
    wrapper = variables.get("AWS_LAMBDA_EXEC_WRAPPER")
    return [wrapper, *command] if wrapper else command


def reap() -> list[tuple[int, int]]:
    """Every child that ended, ours or adopted: pid and wait status."""
    ended = []
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            ended.append((pid, status))
    return ended


def exit_reason(status: int) -> str:
    """How Lambda words the end of a process (§3.2)."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        names = {9: "killed", 11: "segmentation fault", 15: "terminated"}
        return f"Runtime exited with error: signal: {names.get(number) or signal.Signals(number).name.lower()}"
    code = os.waitstatus_to_exitcode(status)
    return f"Runtime exited with error: exit status {code}" if code else "Runtime exited without providing a reason"


def peak_memory_mb(pid: int) -> int:
    """High-water mark of a process's resident memory in MB, 0 when it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_bytes().splitlines():
            if line.startswith(b"VmHWM:"):
                return -(-int(line.split()[1]) // 1024)
    except OSError:
        pass
    return 0
