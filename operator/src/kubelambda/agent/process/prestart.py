"""A Python runtime process that is forked with the official client imported, and waits for its function."""

import ctypes
import gc
import json
import os
import signal
import socket
import sys
from typing import Any

from kubelambda.agent.process import process
from kubelambda.agent.process.process import Process


def python(output: int, runtime_api: str) -> Process:
    """Forks a runtime process with the official client imported. Must be called before any event loop exists."""
    ours, theirs = socket.socketpair()
    os.environ["AWS_LAMBDA_RUNTIME_API"] = runtime_api  # the client's native part reads it when it is loaded
    import awslambdaric.__main__  # noqa: PLC0415, F401 - the import is what is paid in advance

    gc.collect()
    gc.freeze()
    pid = os.fork()
    if pid:
        theirs.close()
        process.prefer_for_oom(pid)
        return Process(pid, ours)
    ours.close()
    try:
        _become_child(output)
        _run(theirs)
    except BaseException as error:  # noqa: BLE001 - whatever it is, this process must not return into its parent's code
        code = error.code if isinstance(error, SystemExit) else 1
        if not isinstance(error, SystemExit):
            sys.excepthook(type(error), error, error.__traceback__)
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)
    os._exit(0)


def _become_child(output: int) -> None:
    os.setsid()
    process.limit_child()
    ctypes.CDLL(None).prctl(process.PR_SET_DUMPABLE, 1, 0, 0, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)


def _run(channel: socket.socket) -> None:
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
    from awslambdaric.lambda_runtime_client import LambdaRuntimeClient  # noqa: PLC0415

    from kubelambda.agent.process.polling import keep_polling_thread  # noqa: PLC0415

    log_format = os.environ.get("AWS_LAMBDA_LOG_FORMAT")
    awslambdaric.bootstrap._AWS_LAMBDA_LOG_FORMAT = awslambdaric.bootstrap.LogFormat.from_str(log_format)  # noqa: SLF001
    keep_polling_thread(LambdaRuntimeClient)
    main(sys.argv)
