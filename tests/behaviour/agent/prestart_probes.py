"""What a Python function can see of its process: the table of probes, and the function that runs it."""

import json
import re
from typing import Any

# Modules that the agent imports, or a pre-start might, and that the official client does not: a function's own win.
_NAMES = """
    ast asyncio base64 bisect calendar copy ctypes dataclasses datetime dis email fnmatch gettext glob hashlib hmac http
    inspect locale optparse pathlib pickle pkgutil random resource secrets select selectors shutil signal socket ssl
    struct subprocess tempfile token tokenize typing urllib uuid zipfile
    apis bootstrap configuration httptools kubelambda log memory polling prestart process sandbox startup transport
"""
NAMES = _NAMES.split()

PROBES = {
    # what the interpreter was started with
    "argv": "sys.argv, sys.orig_argv",
    "executable": "sys.executable, sys._base_executable",
    "prefixes": "sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix",
    "flags": "{n: getattr(sys.flags, n) for n in dir(sys.flags) if n[0] != '_' and n not in ('count', 'index')}",
    "options": "sys.warnoptions, sys._xoptions, sys.dont_write_bytecode, sys.pycache_prefix, sys.platlibdir",
    "hooks": "[getattr(sys, n) is getattr(sys, f'__{n}__')"
    " for n in ('excepthook', 'displayhook', 'unraisablehook', 'breakpointhook')]",
    "limits": "sys.getrecursionlimit(), sys.getswitchinterval(), sys.get_int_max_str_digits()",
    "tracing": "sys.gettrace(), sys.getprofile(), faulthandler.is_enabled()",
    "garbage": "gc.isenabled(), gc.get_threshold(), gc.callbacks, gc.get_debug()",
    # the program
    "__main__": "[(k, repr(v).partition(' at 0x')[0]) for k, v in sorted(vars(sys.modules['__main__']).items())"
    " if k != '__builtins__']",
    "builtins": "vars(sys.modules['__main__'])['__builtins__'] is builtins, sorted(vars(builtins))",
    "frames": "frames()",
    # where modules come from
    "finders": "[repr(type(x)) + getattr(x, '__name__', '') for x in (*sys.meta_path, *sys.path_hooks)]",
    "site": "site.ENABLE_USER_SITE, site.USER_SITE, site.USER_BASE, site.getsitepackages()",
    "the client's modules": "[sys.modules[n].__file__ for n in sys.modules if n.partition('.')[0] == 'awslambdaric']",
    # variables
    "os.environ": "dict(os.environ)",
    "posix.environ": "sorted(posix.environ.items())",
    "variables of children": "sorted(subprocess.check_output('/usr/bin/env').splitlines())",
    "variables at the start": "b'KUBELAMBDA_POOL' in open('/proc/self/environ', 'rb').read()",
    # the process
    "folder": "os.getcwd(), os.umask(0o22)",
    "scheduling": "os.nice(0), os.sched_getscheduler(0), sorted(os.sched_getaffinity(0))",
    "session": "os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()",
    "user": "os.getresuid(), os.getresgid(), os.getgroups()",
    "resources": "{n: resource.getrlimit(getattr(resource, n)) for n in dir(resource) if n.startswith('RLIMIT_')}",
    "status": "[line for line in open('/proc/self/status') if line.partition(':')[0] in ('Name', 'Threads', 'SigPnd',"
    " 'SigBlk', 'ShdPnd', 'CapEff', 'NoNewPrivs', 'Seccomp', 'Umask')]",
    # but not signals 32 and 33, which are the C library's own
    "ignored and caught": "[int(line[7:], 16) & ~(3 << 31) for line in open('/proc/self/status')"
    " if line.startswith(('SigIgn', 'SigCgt'))]",
    "out of memory": "open('/proc/self/oom_score_adj').read()",
    "prctl": "[libc.prctl(number, 0, 0, 0, 0) for number in (3, 27, 30, 39)]",  # dumpable, bits, slack, privileges
    "dies with its parent": "libc.prctl(2, ctypes.byref(number), 0, 0, 0), number.value",
    # signals
    "handlers": "[(n, repr(_signal.getsignal(n)).partition(' at ')[0]) for n in sorted(_signal.valid_signals())]",
    "wake-up": "_signal.set_wakeup_fd(-1), _signal.getitimer(0)",
    # streams
    "streams": "[(n, s.name, s.mode, s.encoding, s.errors, s.line_buffering, s.write_through, s.isatty(), s.fileno(),"
    " repr(type(s)), repr(type(s.buffer)), s.closed, s.readable(), s.writable(), s.seekable(), s.newlines)"
    " for n in ('stdin', 'stdout', 'stderr', '__stdin__', '__stdout__', '__stderr__') for s in [getattr(sys, n)]]",
    # time, place and language
    "time zone": "time.tzname, time.timezone, time.localtime(0)[:5], time.strftime('%Z')",
    "locale": "locale.setlocale(locale.LC_ALL), locale.getlocale(), locale.getencoding()",
    "encodings": "sys.getfilesystemencoding(), sys.getfilesystemencodeerrors(), sys.getdefaultencoding()",
    # libraries
    "warnings": "repr(warnings.filters), warnings.defaultaction, warnings.showwarning.__module__",
    "threads": "[(t.name, t.daemon, t.ident == threading.get_ident(), t.native_id == os.getpid())"
    " for t in threading.enumerate()], threading.excepthook is threading.__excepthook__, threading.stack_size()",
    "at exit": "atexit._ncallbacks()",
    "loggers": "logging.root.level, logging.raiseExceptions, sorted(logging.root.manager.loggerDict),"
    " [(type(h).__name__, h.level, h.formatter._fmt, h.formatter.datefmt) for h in logging.root.handlers]",
    "logs know when it began": "logging.LogRecord('', 0, '', 0, '', (), None).relativeCreated < 60_000",
    "decimals": "repr(decimal.getcontext())",
    # what it starts
    "another interpreter": "subprocess.check_output([sys.executable, '-c', 'import sys; print(sys.path, sys.flags)'])",
}

OF_THE_LOCALE = {
    "flags", "os.environ", "posix.environ", "variables of children", "streams", "locale", "another interpreter",
}  # fmt: skip
"""What depends on whether the machine has the locale that Lambda names."""

_FUNCTION = """
import sys
found = {"modules": sorted(sys.modules), "sys.path": sys.path.copy()}
import os

def descriptors():
    opened = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            opened[number] = os.readlink(f"/proc/self/fd/{number}").partition(":")[0]
        except OSError:
            pass
    return opened

found["descriptors"] = descriptors()

def frames():
    frame, names = sys._getframe(), []
    while frame is not None:
        names.append((frame.f_code.co_filename, frame.f_code.co_name, frame.f_lineno))
        frame = frame.f_back
    known = [(file.rpartition("/")[2], name, line) for file, name, line in reversed(names)]
    programs = [index for index, (file, name, _) in enumerate(known) if file == "bootstrap.py" and name == "<module>"]
    return known[programs[0] :] if programs else known

def hidden_modules():
    names = {name: hasattr(__import__(name), "MINE") for name in NAMES}
    if names:
        names["of a .pth file"] = hasattr(__import__("from_pth"), "MINE")
    for name in NAMES:
        sys.modules.pop(name, None)
    return names

def run_probes():
    found["own modules"] = hidden_modules()
    sys.path.remove(os.environ["LAMBDA_TASK_ROOT"])
    import _signal, atexit, builtins, ctypes, decimal, faulthandler, gc, locale, logging, posix
    import resource, site, subprocess, threading, time, warnings
    libc, number = ctypes.CDLL(None), ctypes.c_int()
    known = {**globals(), **locals()}
    for name, expression in PROBES.items():
        try:
            found[name] = eval(expression, known)
        except BaseException as error:
            found[name] = "FAILED: " + repr(error)

def plain(value):
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)

def handler(event, context):
    if event == "end":
        os._exit(1)
    found["descriptors in an invocation"] = descriptors()
    run_probes()
    return plain(found)
"""


def package(names: list[str]) -> dict[str, str]:
    """The function, whose answer is what it found, with modules of its own of some names."""
    return {
        **{f"{name}.py": "MINE = True" for name in names},
        "index.py": f"{_FUNCTION}\nNAMES = {names!r}\nPROBES = {PROBES!r}\n",
        "mine.pth": "more\n",
        "more/from_pth.py": "MINE = True",
    }


ENDS = {
    "os._exit(3)": "import os; os._exit(3)",
    "sys.exit(3)": "import sys; sys.exit(3)",
    "sys.exit()": "import sys; sys.exit()",
    "sys.exit with a text": "import sys; sys.exit('a last word')",
    "atexit": "import atexit, sys; atexit.register(print, 'called at exit'); sys.exit(0)",
    "a thread that goes on": "import threading, time, sys\n"
    "threading.Thread(target=lambda: (time.sleep(0.3), print('the thread ended'))).start()\nsys.exit(4)",
    "a daemon thread": "import threading, time, sys\n"
    "threading.Thread(target=time.sleep, args=(99,), daemon=True).start()\nsys.exit(5)",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "GeneratorExit": "raise GeneratorExit('odd')",
    "an excepthook": "import sys; sys.excepthook = lambda *_: print('my own hook'); raise KeyboardInterrupt",
    "SIGTERM": "import os; os.kill(os.getpid(), 15)",
    "SIGINT": "import os, time; os.kill(os.getpid(), 2); time.sleep(9)",
    "SIGSEGV": "import ctypes; ctypes.string_at(0)",
    "abort": "import os; os.abort()",
    "finalizers": "import sys\nclass End:\n    def __del__(self): print('deleted')\n"
    "sys.modules['__main__'].end = End()\nsys.exit(6)",
}
"""Code of a handler, each of which ends the process in its own way."""

ENDING = "def handler(event, context):\n    exec(event, {})\n"


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What the two found differently, one line each; but for the trace, which is that of the invocation."""
    one, other = (json.loads(re.sub("Root=[^'\"]*", "Root=", json.dumps(found))) for found in (one, other))
    lines = []
    for name in sorted({*one, *other}):
        here, there = one.get(name), other.get(name)
        if isinstance(here, list) and isinstance(there, list):
            here, there = [item for item in here if item not in there], [item for item in there if item not in here]
        if here != there or one.get(name) != other.get(name):
            lines.append(f"{name}: {here} and {there}")
    return lines
