"""A Python runtime process that is forked with the official client imported, and waits for its function.

Once it has it, nothing tells it from a process that is started for the function: it has the same program, modules,
descriptors, signal handlers, streams and variables, and it ends in the same way.
"""

import builtins
import ctypes
import gc
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NoReturn

from kubelambda.agent.process import process
from kubelambda.agent.process.configuration import Paths
from kubelambda.agent.process.process import Process
from kubelambda.agent.python_client import startup

_FIRST_DESCRIPTOR = 3
_MOST_DESCRIPTORS = 1 << 30


def python(output: int, modules: frozenset[str], paths: Paths) -> Process:
    """Forks a runtime process, out of one that `startup.prepare` prepared. To be called before there is an event loop.

    `modules` are the names of those that were imported for the runtime process, and not for the agent. In the new
    process this does not return: it raises whatever ends the program.
    """
    ours, theirs = socket.socketpair()
    path = startup.bootstrap_path()
    program = compile(Path(path).read_bytes(), path, "exec")
    gc.collect()
    gc.freeze()
    pid = os.fork()
    if not pid:
        ours.close()
        _become_child(output, paths)
        message = _received(theirs)
        startup.forget_modules(modules)
        _enter(message, path)
        _run(program, path)
    theirs.close()
    process.prefer_for_oom(pid)
    return Process(pid, ours)


def _become_child(output: int, paths: Paths) -> None:
    os.setsid()
    process.limit_child(paths)
    ctypes.CDLL(None).prctl(process.PR_SET_DUMPABLE, 1, 0, 0, 0)
    null = os.open("/dev/null", os.O_RDONLY)
    for descriptor, number in ((null, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, number)
    for signal_number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(signal_number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # who started the agent may have it ignored


def _received(channel: socket.socket) -> dict[str, Any]:
    """What the agent hands over. Raises `SystemExit` when it ends without."""
    received = b""
    while chunk := channel.recv(65_536):
        received += chunk
    if not received:
        sys.exit(0)
    channel.detach()
    message: dict[str, Any] = json.loads(received)
    return message


def _enter(message: dict[str, Any], path: str) -> None:
    """Takes the environment of the function, and lets go of the agent's."""
    os.closerange(_FIRST_DESCRIPTOR, _MOST_DESCRIPTORS)
    os.environ.clear()
    _wipe_start_of_process()
    os.environ.update(message["variables"])
    posix = sys.modules["posix"].environ
    posix.clear()
    posix.update({os.fsencode(name): os.fsencode(value) for name, value in message["variables"].items()})
    os.chdir(message["task"])
    sys.argv = [path]
    sys.orig_argv = [sys.executable, path]
    startup.as_if_new(time.time_ns())


def _wipe_start_of_process() -> None:
    """Zeroes what the kernel shows as the variables that the process was started with: they were the agent's."""
    # Not by way of pathlib: what that imports when it is used would be found by the function.
    with open("/proc/self/stat") as file:  # noqa: PTH123
        fields = file.read().rpartition(")")[2].split()
    start, end = int(fields[47]), int(fields[48])
    if start:
        ctypes.memset(start, 0, end - start)


def _run(program: CodeType, path: str) -> NoReturn:
    """Runs the program as the interpreter would."""
    main = ModuleType("__main__")
    loader = sys.modules["_frozen_importlib_external"].SourceFileLoader("__main__", path)
    vars(main).update(__file__=path, __builtins__=builtins, __loader__=loader, __cached__=None, __annotations__={})
    sys.modules["__main__"] = main
    try:
        exec(program, vars(main))  # noqa: S102 - our own
    except SystemExit:
        raise
    except BaseException as error:
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
        sys.excepthook(type(error), error, error.__traceback__)
        sys.excepthook = lambda *_: None  # told without our frames; what is left to do is to end as it makes us end
        raise
    sys.exit(0)
