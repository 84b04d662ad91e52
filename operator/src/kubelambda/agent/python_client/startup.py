"""The two halves of starting the official Python client: what any function may share, and what is one function's own.

A new process does both at once, `bootstrap.py`; a pre-started one is forked between them (`process/prestart.py`).
Nothing here imports a module that the client does not import: a function's own module of that name would be hidden.
"""

import io
import os
import sys
import time

from kubelambda.agent.python_client import polling, transport

RUNTIME_FOLDER = "/var/runtime"
CLIENT_VARIABLE = "KUBELAMBDA_PYTHON_CLIENT"
"""A function's variable: `official` makes its client use the native transport that it comes with."""
_READ_ON_IMPORT = ("AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL")
_STANDARD_ERROR = 2
_OURS = "kubelambda"


def bootstrap_path() -> str:
    """The program of a runtime process, where it is in the image, and beside this file elsewhere."""
    if os.path.exists(f"{RUNTIME_FOLDER}/bootstrap.py"):  # noqa: PTH110
        return f"{RUNTIME_FOLDER}/bootstrap.py"
    return os.path.join(os.path.dirname(__file__), "bootstrap.py")  # noqa: PTH118, PTH120


def prepare() -> None:
    """Imports the client, with the first entry of `sys.path` replaced by the runtime's folder. Once is enough.

    `AWS_LAMBDA_RUNTIME_API` must be set: the client looks at it on import.
    """
    sys.path[0] = RUNTIME_FOLDER
    if "runtime_client" in sys.modules:
        return
    sys.modules["runtime_client"] = transport
    import concurrent.futures.thread  # noqa: F401, PLC0415 - the client does when it is made

    import awslambdaric.__main__  # noqa: PLC0415

    polling.replace_executor(awslambdaric.__main__.LambdaRuntimeClient, polling.SameThread())


def forget_modules(keep: frozenset[str] | None = None) -> None:
    """Makes our own modules, or all that are not in `keep`, unknown to `import`. Who has them can still use them."""
    for name in list(sys.modules):
        if name not in keep if keep is not None else name.partition(".")[0] == _OURS:
            del sys.modules[name]


def run() -> None:
    """Runs the function that the process environment names. Ends as the client ends: never, or by an exception."""
    _set_path()
    import awslambdaric.__main__  # noqa: PLC0415

    client = awslambdaric.__main__
    if os.environ.get(CLIENT_VARIABLE) == "official":
        _use_native_transport()
    sys.argv = sys.argv[:1]
    client.main([sys.argv[0], os.environ["_HANDLER"]])


def as_if_new(started: int) -> None:
    """Repeats in a process that was started earlier what the interpreter and the client do once, on the way up.

    `started` is when the process would have been started, in nanoseconds since 1970.
    """
    import _locale  # noqa: PLC0415
    import contextlib  # noqa: PLC0415
    import logging  # noqa: PLC0415
    import site  # noqa: PLC0415
    import threading  # noqa: PLC0415

    import awslambdaric.__main__ as client  # noqa: PLC0415
    from awslambdaric import lambda_runtime_client as runtime_client  # noqa: PLC0415

    threading.main_thread()._set_native_id()  # type: ignore[attr-defined] # noqa: SLF001
    time.tzset()
    # The machine may lack it: the interpreter does not mind either.
    with contextlib.suppress(_locale.Error):  # type: ignore[attr-defined]
        _locale.setlocale(_locale.LC_CTYPE, "")
    del sys.modules["_locale"]
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        stream = _stream(descriptor, name)
        vars(sys).update({name: stream, f"__{name}__": stream})
    site.USER_BASE = site.USER_SITE = None  # of the present HOME
    site.getusersitepackages()
    logging._startTime = started  # type: ignore[attr-defined] # noqa: SLF001
    sys.path_importer_cache.clear()
    runtime_client.BaseLambdaRuntimeClient.marshaller = runtime_client.LambdaMarshaller()
    if any(name in os.environ for name in _READ_ON_IMPORT):
        from importlib import reload  # noqa: PLC0415

        reload(client.bootstrap)


def _stream(descriptor: int, name: str) -> io.TextIOWrapper:
    """A standard stream of what the descriptor is now."""
    file = io.FileIO(descriptor, "w" if descriptor else "r", closefd=False)
    file.name = f"<{name}>"
    error = descriptor == _STANDARD_ERROR
    stream = io.TextIOWrapper(
        io.BufferedWriter(file) if descriptor else io.BufferedReader(file),
        "utf-8",
        "backslashreplace" if error else "strict",
        "\n",
        line_buffering=error,
    )
    stream.mode = "w" if descriptor else "r"  # type: ignore[misc]
    return stream


def _set_path() -> None:
    """Lambda's order (§3.4.3): the function's folder, its layers, the runtime's own packages, the standard library."""
    import site  # noqa: PLC0415 - always loaded

    task = os.environ.get("LAMBDA_TASK_ROOT", "/var/task")
    opt = os.path.join(os.path.dirname(os.path.dirname(task)), "opt")  # noqa: PTH118, PTH120
    layers = [f"{opt}/python/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages", f"{opt}/python"]
    if "PYTHONPATH" in os.environ:  # whoever sets it, sets all of it
        layers = []
    sys.path[:1] = [task, *layers, RUNTIME_FOLDER]
    for folder in (task, *layers):
        site.addsitedir(folder)
    os.environ.setdefault("PYTHONPATH", RUNTIME_FOLDER)


def _use_native_transport() -> None:
    """Goes back to the native part of the official client."""
    del sys.modules["runtime_client"]
    import runtime_client  # type: ignore[import-not-found] # noqa: PLC0415
    from awslambdaric import lambda_runtime_client  # noqa: PLC0415

    runtime_client.initialize_client(lambda_runtime_client._user_agent())  # noqa: SLF001
    lambda_runtime_client.runtime_client = runtime_client
    polling.replace_executor(lambda_runtime_client.LambdaRuntimeClient, polling.PollingThread())
