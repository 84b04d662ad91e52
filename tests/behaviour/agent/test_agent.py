"""The agent with real runtime processes: official Python client, shell bootstrap (§3, §14 items 4 to 8)."""

import concurrent.futures
import http.client
import json
import re
import select
import signal
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

environment = sys.modules["agent_environment"]

CODE = """
import os, sys, time, pathlib
loaded = time.time()

def handler(event, context):
    event = event or {}
    if "exit" in event:
        os._exit(event["exit"])
    if "sleep" in event:
        time.sleep(event["sleep"])
    while not os.path.exists(event.get("until", "/")):
        time.sleep(0.02)
    if "raise" in event:
        raise ValueError(event["raise"])
    if "print" in event:
        for _ in range(event["print"]):
            print("x" * 1023)
    if "write" in event:
        pathlib.Path(event["write"]).write_text("kept")
    if "size" in event:
        return "x" * event["size"]
    return {"loaded": loaded, "env": dict(os.environ), "cwd": os.getcwd(), "id": context.aws_request_id}
"""


@pytest.fixture
def claimed(unclaimed: Any) -> Any:
    """An environment of a function."""
    answer = unclaimed.specialize({"index.py": CODE})
    assert answer.json["status"] == "ready", answer.body
    return unclaimed


def test_the_result_of_the_handler_is_the_answer(claimed: Any) -> None:
    """With the request id that the frontend gave."""
    answer = claimed.invoke({})
    assert answer.status == 200
    assert answer.json["id"] == claimed.last_request_id
    assert "X-Amz-Function-Error" not in answer.headers


def test_the_log_has_lambdas_lines_in_order(claimed: Any) -> None:
    """START, what was printed, END, REPORT with the init duration on the first invocation only (§9.1)."""
    log = claimed.invoke({"print": 1}, tail=True).log
    request_id = claimed.last_request_id
    expected = (
        rf"START RequestId: {request_id} Version: \$LATEST\nx{{1023}}\nEND RequestId: {request_id}\n"
        rf"REPORT RequestId: {request_id}\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB\t"
        r"Max Memory Used: \d+ MB\tInit Duration: \d+\.\d\d ms\t\n"
    )
    assert re.fullmatch(expected, log), log
    assert "Init Duration" not in claimed.invoke({}, tail=True).log
    assert claimed.logged(f"START RequestId: {request_id}")


def test_an_exception_keeps_the_environment(claimed: Any) -> None:
    """The runtime's own JSON is passed on, and the module is not loaded again (§3.2.3)."""
    before = claimed.invoke({}).json["loaded"]
    answer = claimed.invoke({"raise": "no"})
    assert answer.headers["X-Amz-Function-Error"] == "Unhandled"
    assert (answer.json["errorType"], answer.json["errorMessage"]) == ("ValueError", "no")
    assert claimed.invoke({}).json["loaded"] == before


@pytest.mark.parametrize(
    ("event", "kind", "text"),
    [
        ({"exit": 3}, "Runtime.ExitError", "Runtime exited with error: exit status 3"),
        ({"exit": 0}, "Runtime.ExitError", "Runtime exited without providing a reason"),
        ({"sleep": 60}, "Sandbox.Timedout", "Task timed out after 6.00 seconds"),
    ],
)
def test_a_reset_keeps_files_and_loads_the_module_again(
    unclaimed: Any, tmp_path: Path, event: dict[str, Any], kind: str, text: str
) -> None:
    """After a timeout or an exit (§3.2.2)."""
    unclaimed.specialize({"index.py": CODE}, timeout=6)
    kept = tmp_path / "kept"
    before = unclaimed.invoke({"write": str(kept)}).json["loaded"]
    answer = unclaimed.invoke(event)
    assert answer.headers["X-Amz-Function-Error"] == "Unhandled"
    assert answer.json == {"errorType": kind, "errorMessage": f"RequestId: {unclaimed.last_request_id} Error: {text}"}
    assert unclaimed.invoke({}).json["loaded"] > before
    assert kept.read_text() == "kept"


def test_signal_handlers_of_a_function_run_between_invocations(unclaimed: Any, tmp_path: Path) -> None:
    """The main thread is not stuck in a poll: what the official client has its polling thread for."""
    rang = tmp_path / "rang"
    code = f"""
import pathlib, signal
def ring(number, frame):
    pathlib.Path({str(rang)!r}).write_text("rang")
signal.signal(signal.SIGALRM, ring)
def handler(event, context):
    signal.setitimer(signal.ITIMER_REAL, 0.2)
"""
    unclaimed.specialize({"index.py": code})
    for _ in range(2):
        rang.unlink(missing_ok=True)
        assert unclaimed.invoke({}).status == 200
        deadline = time.monotonic() + 90
        while not rang.exists():
            assert time.monotonic() < deadline, "the handler did not run"
            time.sleep(0.02)


def test_lines_keep_their_order_though_ours_wait(unclaimed: Any) -> None:
    """INIT_START once, START before what the handler prints, END and REPORT after it, and all of it soon."""
    unclaimed.specialize({"index.py": "def handler(event, context):\n    print('printed', event)"})
    for number in (1, 2):
        unclaimed.invoke(number)
    assert unclaimed.logged(f"REPORT RequestId: {unclaimed.last_request_id}")
    lines = [line.partition(" ")[0] for line in unclaimed.log_file.read_text().splitlines()]
    assert lines == ["INIT_START", *["START", "printed", "END", "REPORT"] * 2]


def test_an_init_error_is_reported_once_and_ends_the_environment(unclaimed: Any) -> None:
    """The runtime's JSON, with an empty request id."""
    answer = unclaimed.specialize({"index.py": "raise RuntimeError('broken')"})
    assert answer.json["status"] == "init-error"
    assert answer.json["error"]["errorMessage"] == "broken"
    assert answer.json["error"]["requestId"] == ""
    assert unclaimed.invoke({}).status == 409


def test_an_exit_during_init_is_repeated_in_the_first_invocation(unclaimed: Any) -> None:
    """And reported there, with its request id; the log has an INIT_REPORT."""
    answer = unclaimed.specialize({"index.py": "import sys\nsys.exit(0)"})
    assert answer.json["status"] == "init-timeout"
    answer = unclaimed.invoke({})
    assert answer.json["errorMessage"].endswith("Error: Runtime exited without providing a reason")
    assert unclaimed.logged("INIT_REPORT Init Duration: ")


def test_a_slow_init_succeeds_under_the_functions_timeout(unclaimed: Any, tmp_path: Path) -> None:
    """INIT is stopped at 10 s and run again inside the first invocation (§3.3.1), where it may take longer."""
    begun = tmp_path / "begun"
    slow = f"""
import pathlib, time
again = pathlib.Path({str(begun)!r}).exists()
pathlib.Path({str(begun)!r}).touch()
time.sleep(11 if again else 600)
def handler(event, context):
    return 'ready'
"""
    answer = unclaimed.specialize({"index.py": slow}, timeout=45)
    assert answer.json["status"] == "init-timeout"
    assert unclaimed.invoke({}).json == "ready"
    assert unclaimed.logged("Phase: init\tStatus: timeout")


def test_one_invocation_at_a_time(claimed: Any, tmp_path: Path) -> None:
    """The second one is refused before any of it reached the runtime."""
    gate = tmp_path / "gate"
    with concurrent.futures.ThreadPoolExecutor() as callers:
        first = callers.submit(claimed.invoke, {"until": str(gate)})
        assert environment.eventually(lambda: claimed.state()["busy"])
        assert claimed.invoke({}).status == 409
        gate.touch()
        assert first.result().status == 200


def test_tokens_are_checked(unclaimed: Any) -> None:
    """Before and after the claim."""
    assert unclaimed.specialize({"index.py": CODE}, token="wrong").status == 401
    assert unclaimed.invoke({}).status == 409
    assert unclaimed.specialize({"index.py": CODE}).status == 200
    assert unclaimed.invoke({}, token="wrong").status == 401
    assert unclaimed.specialize({"index.py": CODE}).status == 409


@pytest.mark.parametrize(("archive", "sha256"), [(b"no archive", None), ({"index.py": CODE}, "0" * 64)])
def test_unusable_code_is_refused(unclaimed: Any, archive: Any, sha256: str | None) -> None:
    """A broken archive, and one that is not what was deployed."""
    answer = unclaimed.specialize(archive, sha256=sha256)
    assert answer.status == 400
    assert "archive" in answer.json["message"]


def test_an_archive_cannot_leave_its_folder(unclaimed: Any) -> None:
    """Zip slip."""
    answer = unclaimed.specialize({"../../escaped.py": "x"})
    assert answer.status == 400
    assert not list(unclaimed.root.parent.rglob("escaped.py"))


def test_the_process_environment_holds_lambdas_variables_and_none_of_ours(unclaimed: Any) -> None:
    """§3.4.4; users override defaults, never what is reserved."""
    unclaimed.specialize({"index.py": CODE}, variables={"LANG": "C", "_HANDLER": "mine", "GREETING": "hi"})
    found = unclaimed.invoke({}).json
    seen = found["env"]
    assert (seen["LANG"], seen["GREETING"], seen["_HANDLER"]) == ("C", "hi", "index.handler")
    assert seen["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.13"
    assert seen["AWS_LAMBDA_RUNTIME_API"] == f"127.0.0.1:{unclaimed.api_port}"
    assert found["cwd"] == seen["LAMBDA_TASK_ROOT"] == seen["PWD"]
    assert (seen["PYTHONPATH"], seen["SHLVL"]) == ("/var/runtime", "0")
    assert "AWS_LAMBDA_LOG_FORMAT" not in seen
    assert not [name for name in seen if name.startswith("KUBELAMBDA")]


def test_ten_megabytes_of_output_pass(claimed: Any) -> None:
    """All of it reaches the log, the last 4 KB the tail."""
    answer = claimed.invoke({"print": 10_240}, tail=True)
    assert len(answer.log) == 4096
    assert claimed.log_file.stat().st_size > 10_000_000


SPAWN = """
import os, subprocess, sys
hold = "import time; held = b'x' * (%d << 20); time.sleep(%f)"

def handler(event, context):
    if "spawn" in event:
        subprocess.run([sys.executable, "-S", "-c", hold % (event["spawn"], 1)])
    if "fork" in event:
        held = b"x" * (event["fork"] << 20)
        for _ in range(4):
            if not os.fork():
                import time
                time.sleep(0.5)
                os._exit(0)
        for _ in range(4):
            os.wait()
"""


def test_the_report_counts_what_the_runtime_started(unclaimed: Any) -> None:
    """Max Memory Used is that of the environment over its life (§9), and shared pages count once."""
    assert unclaimed.specialize({"index.py": SPAWN}, memory_size=1024).json["status"] == "ready"

    def used(event: dict[str, int]) -> int:
        return int(re.search(r"Max Memory Used: (\d+) MB", unclaimed.invoke(event, tail=True).log)[1])  # type: ignore[index]

    alone = used({})
    assert used({"fork": 100}) < alone + 200
    # One that is there for a second only is missed by who stands still for so long.
    spawned = next((found for _ in range(5) if (found := used({"spawn": 300})) >= 300), 0)
    assert 300 <= spawned < alone + 350
    assert used({}) == spawned


def test_a_response_over_the_limit_is_refused_to_both_sides(claimed: Any) -> None:
    """413 to the runtime, Function.ResponseSizeTooLarge to the caller (§2.2.5)."""
    assert len(claimed.invoke({"size": 6_291_550}).json) == 6_291_550
    answer = claimed.invoke({"size": 6_291_600})
    assert answer.json["errorType"] == "Function.ResponseSizeTooLarge"
    assert claimed.invoke({}).status == 200


def test_a_drain_finishes_what_runs_and_refuses_the_rest(claimed: Any, tmp_path: Path) -> None:
    """SIGTERM under an invocation."""
    gate = tmp_path / "gate"
    with concurrent.futures.ThreadPoolExecutor() as callers:
        running = callers.submit(claimed.invoke, {"until": str(gate)})
        assert environment.eventually(lambda: claimed.state()["busy"])
        claimed.process.send_signal(signal.SIGTERM)
        assert environment.eventually(lambda: claimed.state()["draining"])
        assert claimed.invoke({}).status == 409
        gate.touch()
        assert running.result().json["id"]
    assert claimed.process.wait(timeout=90) == 0


def test_whoever_waits_for_the_end_of_an_invocation_is_told_before_its_caller(claimed: Any, tmp_path: Path) -> None:
    """Who follows an environment frees its concurrency before the caller can ask for it again."""
    own = {"Authorization": f"Bearer {environment.TOKEN}"}
    gate = tmp_path / "gate"
    caller, follower = (http.client.HTTPConnection("127.0.0.1", claimed.port, timeout=60) for _ in range(2))
    with closing(caller), closing(follower):
        event = json.dumps({"until": str(gate)}).encode()
        caller.request("POST", "/invoke", event, {**own, "X-Amzn-RequestId": "followed"})
        assert environment.eventually(lambda: claimed.state()["busy"])
        follower.request("GET", "/state", headers={**own, "Prefer": "wait=60"})
        for _ in range(2):  # it reads what came first
            claimed.state()
        gate.touch()
        assert caller.getresponse().status == 200
        told, _, _ = select.select([follower.sock], [], [], 0)
        assert told
        assert json.loads(follower.getresponse().read())["busy"] is False


def test_who_waits_for_an_invocation_is_told_when_it_outlasts_the_wait(claimed: Any, tmp_path: Path) -> None:
    """And at once when nothing is in flight."""
    own = {"Authorization": f"Bearer {environment.TOKEN}"}
    gate = tmp_path / "gate"
    with concurrent.futures.ThreadPoolExecutor() as callers:
        running = callers.submit(claimed.invoke, {"until": str(gate)})
        assert environment.eventually(lambda: claimed.state()["busy"])
        assert claimed.call("GET", "/state", headers={**own, "Prefer": "wait=1"}).json["busy"] is True
        assert not running.done()
        gate.touch()
        assert running.result().status == 200
    assert claimed.call("GET", "/state", headers={**own, "Prefer": "wait=999"}).json["busy"] is False


def test_an_agent_that_is_still_starting_obeys_sigterm(tmp_path: Path) -> None:
    """Process 1 of a container ignores what it does not handle: the handler must be there before anything slow."""
    modules, reached = tmp_path / "modules", tmp_path / "reached"
    modules.mkdir()
    slow = f"import pathlib, time\npathlib.Path({str(reached)!r}).touch()\ntime.sleep(600)\n"
    (modules / "socket.py").write_text(slow)  # found before Python's own; whatever serves needs it
    starting = environment.Environment(tmp_path / "starting", PYTHONPATH=str(modules))
    try:
        assert environment.eventually(reached.exists)
        starting.process.send_signal(signal.SIGTERM)
        assert starting.process.wait(timeout=90) == 0
    finally:
        starting.process.kill()
        starting.process.wait()


BOOTSTRAP = """#!/bin/bash
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while true; do
  event=$(curl -sS -D headers-$$ "$api/next")
  id=$(grep -i '^lambda-runtime-aws-request-id:' headers-$$ | tr -d '[:space:]' | cut -d: -f2)
  curl -sS -o /dev/null -H 'Transfer-Encoding: chunked' -d "{\\"echo\\": $event}" "$api/$id/response"
done
"""


def test_a_shell_bootstrap_with_curl_runs(tmp_path: Path) -> None:
    """A custom runtime, its response chunked."""
    with environment.Environment(tmp_path / "shell", prestart="") as found:
        assert found.specialize({"bootstrap": BOOTSTRAP}, runtime="provided.al2023").json["status"] == "ready"
        for number in range(3):
            assert found.invoke({"number": number}).json == {"echo": {"number": number}}


def test_a_missing_bootstrap_is_an_invalid_entrypoint(tmp_path: Path) -> None:
    """Told to the first caller, with its request id."""
    with environment.Environment(tmp_path / "none", prestart="") as found:
        found.specialize({"readme.txt": "x"}, runtime="provided.al2023")
        assert found.invoke({}).json["errorType"] == "Runtime.InvalidEntrypoint"


WRAPPER = """#!/bin/sh
export WRAPPED="$@"
exec "$@"
"""


@pytest.mark.parametrize("runtime", ["python3.13", "provided.al2023"])
def test_a_wrapper_starts_the_runtime(tmp_path: Path, runtime: str) -> None:
    """It gets the runtime's command as its arguments, and what it exports is in the process environment."""
    with environment.Environment(tmp_path / "wrapped", prestart="python" if runtime == "python3.13" else "") as found:
        wrapper = tmp_path / "wrapped" / "var/task/bin/bootstrap"
        files = {"index.py": CODE, "bin/bootstrap": WRAPPER, "bootstrap": BOOTSTRAP.replace("$event", '\\"$WRAPPED\\"')}
        variables = {"AWS_LAMBDA_EXEC_WRAPPER": str(wrapper)}
        assert found.specialize(files, runtime=runtime, variables=variables).json["status"] == "ready"
        answer = found.invoke({}).json
        assert "bootstrap" in (answer["env"]["WRAPPED"] if runtime == "python3.13" else answer["echo"])


def test_a_wrapper_that_does_not_exist_ends_the_runtime(unclaimed: Any) -> None:
    """As the shell ends that Lambda starts it with."""
    unclaimed.specialize({"index.py": CODE}, variables={"AWS_LAMBDA_EXEC_WRAPPER": "/opt/nobody"})
    answer = unclaimed.invoke({}).json
    assert answer["errorType"] == "Runtime.ExitError"
    assert answer["errorMessage"].endswith("Error: Runtime exited with error: exit status 127")
    assert unclaimed.logged("/opt/nobody")


class RuntimeClient:
    """A runtime of the test's own, to make the calls that official clients never make."""

    def __init__(self, port: int) -> None:
        self._port = port

    def call(self, method: str, path: str, body: bytes = b"", timeout: float = 30) -> tuple[int, bytes, Any]:
        """One call of the Runtime API."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout)
        connection.request(method, f"/2018-06-01/runtime{path}", body)
        response = connection.getresponse()
        found = (response.status, response.read(), response.headers)
        connection.close()
        return found


SILENT = "#!/bin/sh\necho 'it runs'\nexec sleep 1000\n"


def test_the_runtime_api_refuses_every_wrong_order(tmp_path: Path) -> None:
    """Response before next, stale ids, a second response, init error after init (§3.1.3, Appendix B)."""
    with environment.Environment(tmp_path / "manual", prestart="") as found:
        runtime = RuntimeClient(found.api_port)
        answers: list[Any] = []
        specializing = threading.Thread(
            target=lambda: answers.append(
                found.specialize({"bootstrap": SILENT}, runtime="provided.al2023", timeout=30)
            )
        )
        specializing.start()
        assert found.logged("it runs")
        status, body, _ = runtime.call("POST", "/invocation/x/response", b"1")
        assert status == 403
        assert json.loads(body)["errorType"] == "InvalidStateTransition"
        events: list[Any] = []
        waiting = threading.Thread(target=lambda: events.append(runtime.call("GET", "/invocation/next")))
        waiting.start()
        specializing.join()
        assert answers[0].json["status"] == "ready"
        invoked = threading.Thread(target=lambda: answers.append(found.invoke({"a": 1})))
        invoked.start()
        waiting.join()
        assert events[0][1] == b'{"a": 1}'
        assert events[0][2]["Lambda-Runtime-Aws-Request-Id"] == found.last_request_id
        assert runtime.call("GET", "/invocation/next")[1] == b'{"a": 1}'
        assert runtime.call("POST", "/invocation/stale/response", b"1")[0] == 400
        assert runtime.call("POST", "/init/error", b"{}")[0] == 403
        assert runtime.call("POST", f"/invocation/{found.last_request_id}/response", b"2")[0] == 202
        invoked.join()
        assert answers[1].json == 2
        status, body, _ = runtime.call("POST", f"/invocation/{found.last_request_id}/response", b"3")
        assert status in (400, 403)


def test_an_environment_is_initialized_once_its_init_succeeded(unclaimed: Any, tmp_path: Path) -> None:
    """What the readiness of provisioned environments asks: neither before nor while it ends."""
    assert unclaimed.call("GET", "/initialized").status == 503
    unclaimed.specialize({"index.py": CODE}, initialization_type="provisioned-concurrency")
    assert unclaimed.call("GET", "/initialized").status == 200
    kind = unclaimed.invoke({}).json["env"]["AWS_LAMBDA_INITIALIZATION_TYPE"]
    assert kind == "provisioned-concurrency"
    gate = tmp_path / "gate"
    with concurrent.futures.ThreadPoolExecutor() as callers:
        callers.submit(unclaimed.invoke, {"until": str(gate)})  # it ends with that, however long it takes
        assert environment.eventually(lambda: unclaimed.state()["busy"])
        unclaimed.process.send_signal(signal.SIGTERM)
        assert environment.eventually(lambda: unclaimed.call("GET", "/initialized").status != 200)
        gate.touch()


def test_an_environment_whose_init_failed_is_never_initialized(unclaimed: Any) -> None:
    """Its pod is not ready, and nobody counts it."""
    assert unclaimed.specialize({"index.py": "raise ValueError()"}).json["status"] == "init-error"
    assert unclaimed.call("GET", "/initialized").status == 503


def test_a_lease_of_an_earlier_owner_is_refused(claimed: Any) -> None:
    """Whoever asks for the state with a term of its own owns the environment from then on."""

    def state(**term: str) -> None:
        claimed.call("GET", "/state", headers={"Authorization": f"Bearer {environment.TOKEN}", **term})

    def invoke(term: str) -> int:
        status: int = claimed.invoke({}, headers={"X-Kubelambda-Term": term}).status
        return status

    state(**{"X-Kubelambda-Term": "first"})
    assert invoke("first") == 200
    state()
    assert invoke("first") == 200
    state(**{"X-Kubelambda-Term": "second"})
    assert (invoke("first"), invoke("second")) == (409, 200)
    assert claimed.invoke({}).status == 200, "the owner itself names no term"
