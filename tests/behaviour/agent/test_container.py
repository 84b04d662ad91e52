"""An agent beside the container of a function's own image, with the real launcher as that container's process 1."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.behaviour.agent import telemetry_probe
from tests.behaviour.agent.extension_probe import SCRIPT, Journal

SOURCE = Path(__file__).parents[3] / "images/launcher/launcher.c"
PROGRAM = """
import json, os, sys, time, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/"
print("loaded", flush=True)
while True:
    with urllib.request.urlopen(api + "invocation/next") as answer:
        event, id = json.loads(answer.read()), answer.headers["Lambda-Runtime-Aws-Request-Id"]
    if "exit" in event:
        os._exit(event["exit"])
    if "fork" in event and os.fork() == 0:
        time.sleep(60)
    time.sleep(event.get("sleep", 0))
    while "chat" in event:
        os.write(1, b"chatting" * 100 + b"\\n")
        time.sleep(event["chat"])
        event["chat"] = 0
    print("handled", event, flush=True)
    body = json.dumps({"argv": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ), "pid": os.getpid()}).encode()
    urllib.request.urlopen(urllib.request.Request(api + f"invocation/{id}/response", body, method="POST")).read()
"""


@dataclass
class Pod:
    """An agent and the container beside it."""

    agent: Any
    launcher: subprocess.Popen[bytes]
    program: Path
    cgroups: Path

    def uses(self, megabytes: int, peak: int) -> None:
        """What the kernel says of its container's memory."""
        for name, value in (("memory.current", megabytes), ("memory.peak", peak)):
            (self.cgroups / name).write_text(f"{value << 20}\n")

    def specialize(self, **function: Any) -> Any:
        """Hands a function over whose image runs the program."""
        command = function.pop("command", (sys.executable, str(self.program), "one"))
        return self.agent.specialize({}, code=None, runtime="image", handler="", command=command, **function)


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled as its image does."""
    if shutil.which("gcc") is None:
        pytest.skip("needs a C compiler")
    built = tmp_path_factory.mktemp("launcher") / "launcher"
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-Os", "-static", "-o", built, SOURCE], check=True)
    return built


@pytest.fixture
def image_extensions() -> tuple[str, ...]:
    """Names of the extensions that the image has."""
    return ()


@pytest.fixture
def extension_script() -> str:
    """What each of them is."""
    return SCRIPT


@pytest.fixture
def pod(
    start: Callable[..., Any],
    launcher: Path,
    tmp_path: Path,
    image_extensions: tuple[str, ...],
    extension_script: str,
) -> Iterator[Pod]:
    """A pod whose function nobody handed over yet."""
    shared = tmp_path / "shared"
    shared.mkdir()
    agent = start(prestart="", KUBELAMBDA_SHARED_FOLDER=str(shared), KUBELAMBDA_LAUNCHER=str(launcher))
    assert agent.call("GET", "/claimable").status == 503
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    image = {"PATH": os.environ["PATH"], "FROM_IMAGE": "1", "OVERRIDDEN": "image"}
    image |= {"KUBELAMBDA_SECRET": "ours", "KUBERNETES_PORT": "1", "LAMBDA_TASK_ROOT": "/var/task"}
    cgroups = tmp_path / "cgroups"
    cgroups.mkdir()
    for name, value in (("memory.current", 1 << 20), ("memory.peak", 1 << 20), ("pids.current", 2)):
        (cgroups / name).write_text(f"{value}\n")
    extensions = tmp_path / "extensions"
    extensions.mkdir()
    (extensions / "data").touch(mode=0o644)
    for name in image_extensions:
        (extensions / name).write_text(extension_script.format(python=sys.executable))
        (extensions / name).chmod(0o755)
    command = [shared / "launcher", shared / "agent.sock", shared / "output", cgroups, extensions]
    with subprocess.Popen(command, env=image) as process:
        deadline = time.monotonic() + 90
        while agent.call("GET", "/claimable").status != 200:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield Pod(agent, process, program, cgroups)
        process.kill()


def test_the_program_of_the_image_runs_with_its_own_variables_and_the_functions(pod: Pod, tmp_path: Path) -> None:
    """Entry point and command as arguments, in the working directory; nothing of ours."""
    variables = {"OVERRIDDEN": "function", "MINE": "1"}
    assert pod.specialize(variables=variables, working_directory=str(tmp_path)).json["status"] == "ready"
    found = pod.agent.invoke({}).json
    assert (found["argv"], found["cwd"]) == (["one"], str(tmp_path))
    assert (found["env"]["FROM_IMAGE"], found["env"]["OVERRIDDEN"], found["env"]["MINE"]) == ("1", "function", "1")
    assert found["env"]["AWS_LAMBDA_FUNCTION_NAME"] == "hello"
    assert not [name for name in found["env"] if name.startswith(("KUBELAMBDA_", "KUBERNETES_"))]
    assert pod.agent.invoke({}).json["pid"] == found["pid"]


def test_the_folders_of_zip_functions_are_none_of_it(pod: Pod) -> None:
    """They are part of an image that nobody can write to."""
    task = pod.agent.root / "var/task"
    task.chmod(0o755)
    pod.specialize()
    assert task.stat().st_mode & 0o777 == 0o755


def test_what_it_prints_is_in_the_log_of_the_invocation(pod: Pod) -> None:
    """Between START and END, as that of any function."""
    pod.specialize()
    assert "INIT_START" not in pod.agent.log_file.read_text()  # of a runtime of ours
    log = pod.agent.invoke({"a": 1}, tail=True).log
    assert "handled {'a': 1}\nEND" in log


def test_what_it_printed_before_a_timeout_comes_before_its_report(pod: Pod) -> None:
    """Though it is the launcher that kills it."""
    pod.specialize(timeout=5)  # within which a busy machine also starts the next program
    assert pod.agent.invoke({"chat": 4.8}).json["errorType"] == "Sandbox.Timedout"
    assert pod.agent.invoke({"exit": 1}).json["errorType"] == "Runtime.ExitError"
    assert pod.agent.logged("REPORT RequestId: request-2")
    log = pod.agent.log_file.read_text()
    assert log.index(" Task timed out") > log.rindex("chatting\n")
    assert log.index("loaded\n", log.index("REPORT")) > log.index("START RequestId: request-2")


def test_the_kernel_counts_the_processes_of_its_container(pod: Pod) -> None:
    """Which only its own process 1 can see; who has more than Lambda's 742 ends."""
    assert pod.specialize(timeout=60).json["status"] == "ready"
    (pod.cgroups / "pids.current").write_text("743\n")
    assert "errorType" not in pod.agent.invoke({"sleep": 0.5}).json
    (pod.cgroups / "pids.current").write_text("744\n")
    answer = pod.agent.invoke({"sleep": 50})
    assert answer.json["errorMessage"].endswith("more than 742 processes and threads: the environment ends")


def _settled(pod: Pod) -> None:
    """Waits until the environment says that it is free."""
    headers = {"Authorization": "Bearer environment-token", "Prefer": "wait=50"}
    assert not pod.agent.call("GET", "/state", headers=headers).json["busy"]


@pytest.mark.parametrize("image_extensions", [("the tracer", "another")])
def test_extensions_of_the_image_run_beside_its_program(pod: Pod, tmp_path: Path) -> None:
    """Within its container, with its variables; a reset tells them, and starts them anew with the program."""
    journal = Journal(tmp_path / "journal")
    assert pod.specialize(variables={"JOURNAL": str(journal.path)}, timeout=60).json["status"] == "ready"
    for name in ("the tracer", "another"):
        assert pod.agent.logged(f"EXTENSION\tName: {name}\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n")
    assert "Name: data" not in pod.agent.log_file.read_text()
    for variables in journal.of("variables"):
        assert (variables["FROM_IMAGE"], variables["AWS_LAMBDA_FUNCTION_NAME"]) == ("1", "hello")
        assert "LAMBDA_TASK_ROOT" not in variables
    answer = pod.agent.invoke({})
    assert answer.headers["X-Kubelambda-Busy"] == "1"
    assert answer.json["env"]["LAMBDA_TASK_ROOT"] == "/var/task"
    _settled(pod)
    assert len(journal.events("INVOKE")) == 2
    assert pod.agent.invoke({"exit": 1}).json["errorMessage"].endswith("Runtime exited with error: exit status 1")
    _settled(pod)
    assert [each["shutdownReason"] for each in journal.events("SHUTDOWN")] == ["failure", "failure"]
    assert pod.agent.invoke({}).json["pid"] != answer.json["pid"]
    _settled(pod)
    assert len(set(journal.of("identifier"))) == 4


@pytest.mark.parametrize("image_extensions", [("teller",)])
@pytest.mark.parametrize("extension_script", [telemetry_probe.SCRIPT])
def test_telemetry_tells_lines_of_the_program_from_those_of_extensions(pod: Pod, tmp_path: Path) -> None:
    """Though both go into the same log; also after a reset."""
    journal = telemetry_probe.TelemetryJournal(tmp_path / "journal")
    attempts = [(telemetry_probe.TELEMETRY, telemetry_probe.subscription("function", "extension"))]
    variables = {"JOURNAL": str(journal.path), "ATTEMPTS": json.dumps(attempts)}
    assert pod.specialize(variables=variables, timeout=60).json["status"] == "ready"
    for event in ({"exit": 1}, {"a": 1}):
        pod.agent.invoke(event)
        _settled(pod)
    journal.await_record("function", lambda record: record == "handled {'a': 1}\n")
    assert journal.records_once("function") == ["loaded\n", "loaded\n", "handled {'a': 1}\n"]
    journal.await_all("extension", ["registered teller\n"] * 2)
    assert pod.agent.logged("registered teller\n")


@pytest.mark.parametrize("image_extensions", [("tracer",)])
def test_a_crash_of_the_images_extension_ends_the_invocation(pod: Pod, tmp_path: Path) -> None:
    """The program, which sleeps, is not waited for."""
    journal = Journal(tmp_path / "journal")
    variables = {"JOURNAL": str(journal.path), "MODE": "crashes"}
    assert pod.specialize(variables=variables, timeout=60).json["status"] == "ready"
    for _ in range(2):
        answer = pod.agent.invoke({"sleep": 50})
        assert answer.json["errorType"] == "Extension.Crash"
        assert answer.json["errorMessage"].endswith("Error: signal: killed")
        _settled(pod)


@pytest.mark.parametrize("image_extensions", [("tracer",)])
def test_extensions_hear_of_the_end_of_the_container(pod: Pod, tmp_path: Path) -> None:
    """Kubernetes asks it to end first, and waits."""
    journal = Journal(tmp_path / "journal")
    assert pod.specialize(variables={"JOURNAL": str(journal.path)}, timeout=60).json["status"] == "ready"
    pod.launcher.send_signal(signal.SIGTERM)
    assert pod.agent.process.wait(90) == 0
    assert [each["shutdownReason"] for each in journal.events("SHUTDOWN")] == ["spindown"]
    assert journal.of("bye") == [True]


@pytest.mark.parametrize("image_extensions", [("tracer",)])
def test_an_extension_ends_with_its_container(pod: Pod, tmp_path: Path) -> None:
    """While the program waits for it to register, too: its caller does not wait until the time is over."""
    variables = {"JOURNAL": str(tmp_path / "journal"), "MODE": "mute"}
    assert pod.specialize(variables=variables, init_timeout=1.0, timeout=50).json["status"] == "init-timeout"
    children = Path(f"/proc/{pod.launcher.pid}/task/{pod.launcher.pid}/children")

    def kill() -> None:
        deadline = time.monotonic() + 45
        while not children.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        pod.launcher.kill()

    killing = threading.Thread(target=kill)
    killing.start()
    answer = pod.agent.invoke({})
    killing.join()
    assert answer.json["errorType"] == "Extension.Crash"
    assert answer.json["errorMessage"].endswith("Error: signal: killed")
    assert pod.agent.process.wait(90) == 0


def test_its_memory_is_what_the_kernel_says_of_its_container(pod: Pod) -> None:
    """Less what was used before it began; the most there ever was, also after a reset (§9)."""
    pod.uses(2, 2)
    pod.specialize()
    pod.uses(32, 32)
    assert "Max Memory Used: 30 MB" in pod.agent.invoke({}, tail=True).log
    pod.uses(12, 52)
    assert "Max Memory Used: 50 MB" in pod.agent.invoke({"exit": 1}, tail=True).log
    assert "Max Memory Used: 50 MB" in pod.agent.invoke({}, tail=True).log


@pytest.mark.parametrize(
    ("event", "kind", "text"),
    [
        ({"exit": 3}, "Runtime.ExitError", "Runtime exited with error: exit status 3"),
        ({"sleep": 60}, "Sandbox.Timedout", "Task timed out after 6.00 seconds"),
    ],
)
def test_a_reset_starts_the_program_again_and_leaves_nothing_of_the_old(
    pod: Pod, event: dict[str, Any], kind: str, text: str
) -> None:
    """After a timeout or an exit (§3.2.2); the container stays."""
    pod.specialize(timeout=6)
    before = pod.agent.invoke({"fork": 1}).json["pid"]
    answer = pod.agent.invoke(event)
    assert answer.json == {"errorType": kind, "errorMessage": f"RequestId: {pod.agent.last_request_id} Error: {text}"}
    after = pod.agent.invoke({}).json["pid"]
    assert after != before
    deadline = time.monotonic() + 90
    while _group(before):
        assert time.monotonic() < deadline, "something of the old one is left"
        time.sleep(0.02)
    assert pod.launcher.poll() is None


@pytest.mark.parametrize("command", [("/bin/true",), ("/no/such/program",)])
def test_what_is_no_lambda_image_is_said(pod: Pod, command: tuple[str, ...]) -> None:
    """It never asks for an event: its first caller is told how it ended."""
    assert pod.specialize(command=command).json["status"] == "init-timeout"
    answer = pod.agent.invoke({}, tail=True)
    assert answer.json["errorType"] == "Runtime.ExitError"
    assert "/no/such/program: No such file" in answer.log or "without providing a reason" in answer.log


def test_an_image_that_waits_for_nothing_times_out(pod: Pod) -> None:
    """It runs, and never asks for an event: INIT ends at its limit, and so does the first invocation (§3.3.1)."""
    assert pod.specialize(command=("/bin/sleep", "600"), init_timeout=0.5, timeout=1).json["status"] == "init-timeout"
    answer = pod.agent.invoke({}, tail=True)
    assert answer.json["errorType"] == "Sandbox.Timedout"
    assert answer.json["errorMessage"].endswith("Error: Task timed out after 1.00 seconds")
    assert "Status: timeout" in answer.log


def test_an_end_is_passed_on(pod: Pod) -> None:
    """Kubernetes asks the function's container to end before it asks ours: nothing in flight is lost."""
    pod.specialize()
    pod.launcher.send_signal(signal.SIGTERM)
    assert pod.agent.process.wait(90) == 0
    assert pod.launcher.wait(90) == 0


def test_a_container_that_is_killed_ends_the_environment(pod: Pod) -> None:
    """Its caller gets Lambda's words for it; nobody gets this environment any more."""
    pod.specialize(timeout=30)
    program = pod.agent.invoke({}).json["pid"]
    pod.launcher.kill()
    os.killpg(program, signal.SIGKILL)  # as the end of its process 1 does in a container
    assert pod.agent.process.wait(90) == 0


def _group(leader: int) -> list[int]:
    """Processes of a session that still run."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(folder.name))
    return found
