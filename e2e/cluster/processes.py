"""Long-running processes that outlive the command which starts them, found again by pid and start time."""

import hashlib
import json
import os
import signal
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from progress import ClusterError, step
from settings import LOGS, STATE

STOP_SECONDS = 5
_RECORDS = STATE / "processes"
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    # Go collects garbage whenever there is as much as what lives: for processes as small as these here, all the time.
    "GOGC": "400",
    "GOMEMLIMIT": "1GiB",
}


@dataclass(frozen=True)
class Process:
    """A component of the cluster; it is restarted when its command or one of its files changed."""

    name: str
    command: tuple[str, ...]
    files: tuple[Path, ...] = ()
    ready: Callable[[], bool] | None = None
    ready_seconds: float = 180

    @property
    def log(self) -> Path:
        """Where it writes."""
        return LOGS / f"{self.name}.log"

    @property
    def digest(self) -> str:
        """Identity of what it runs with; which interpreter runs a script does not matter."""
        content = hashlib.sha256("\0".join(self.command[1:]).encode())
        for path in self.files:
            content.update(path.read_bytes())
        return content.hexdigest()


def ensure(process: Process) -> None:
    """Starts a process that is not running as it should be, and waits until it is ready."""
    record = _read(process.name)
    if record and _alive(record) and record.get("digest") == process.digest and _is_ready(process):
        return
    with step(f"start {process.name}"):
        stop(process.name)
        _start(process)
        wait_ready(process)


def stop(name: str, how: signal.Signals = signal.SIGTERM) -> None:
    """Ends a process if it is running: politely, then not."""
    record = _read(name)
    if record and _alive(record):
        pid = int(record["pid"])
        _signal(pid, how)
        if not until(lambda: not _alive(record), STOP_SECONDS):
            _signal(pid, signal.SIGKILL)
            if not until(lambda: not _alive(record), STOP_SECONDS):
                raise ClusterError(f"{name} (pid {pid}) does not end, even when killed")
    _record(name).unlink(missing_ok=True)


def is_running(name: str) -> bool:
    """Whether the process that was started under this name is still there."""
    record = _read(name)
    return record is not None and _alive(record)


def pid_of(name: str) -> int | None:
    """Its process id, while it runs."""
    record = _read(name)
    return int(record["pid"]) if record and _alive(record) else None


def pids_of(matches: Callable[[tuple[str, ...]], bool]) -> list[int]:
    """Processes of the machine whose command line matches."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = tuple((folder / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0"))
            except (FileNotFoundError, ProcessLookupError):
                continue
            if matches(words):
                found.append(int(folder.name))
    return found


def wait_ready(process: Process) -> None:
    """Waits for readiness; a process that ends or never gets there is an error that shows its last words."""
    finished = until(lambda: not is_running(process.name) or _is_ready(process), process.ready_seconds)
    if not is_running(process.name):
        raise ClusterError(f"{process.name} ended while starting; the end of {process.log}:\n{_tail(process.log)}")
    if not finished:
        seconds = process.ready_seconds
        raise ClusterError(
            f"{process.name} is not ready after {seconds} s; the end of {process.log}:\n{_tail(process.log)}"
        )


def healthy(url: str) -> bool:
    """Whether a health port answers 200; the certificate of a loopback health port is the process's own."""
    try:
        with urllib.request.urlopen(url, timeout=2, context=ssl._create_unverified_context()) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def until(condition: Callable[[], bool], seconds: float, interval: float = 0.1) -> bool:
    """Waits for a condition; False when it never came."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True


def _start(process: Process) -> None:
    LOGS.mkdir(parents=True, exist_ok=True)
    _RECORDS.mkdir(parents=True, exist_ok=True)
    for pid in pids_of(lambda words: words == process.command):
        _signal(pid, signal.SIGKILL)  # started by a command that crashed before it wrote the record
    with process.log.open("ab") as log:
        child = subprocess.Popen(
            process.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            env=_ENVIRONMENT,
        )
    record = {"pid": child.pid, "started": _start_time(child.pid), "digest": process.digest}
    _record(process.name).write_text(json.dumps(record))


def _is_ready(process: Process) -> bool:
    return process.ready is None or process.ready()


def _record(name: str) -> Path:
    return _RECORDS / f"{name}.json"


def _read(name: str) -> dict[str, str | int] | None:
    try:
        content: dict[str, str | int] = json.loads(_record(name).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return content


def _alive(record: dict[str, str | int]) -> bool:
    """The same process, not another one that got its number; a zombie counts as ended."""
    return _start_time(int(record["pid"])) == record["started"]


def _start_time(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "ended"
    fields = stat.rpartition(")")[2].split()
    # The first thread of a killed process is a zombie before the others have let go of its ports.
    if fields[0] in "ZX" and not _has_threads(pid):
        return "ended"
    return fields[19]


def _has_threads(pid: int) -> bool:
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


def _signal(pid: int, how: signal.Signals) -> None:
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        return


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(line[:400] for line in log.read_text(errors="replace").splitlines()[-lines:])
