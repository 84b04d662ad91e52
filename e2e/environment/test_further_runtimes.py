"""The runtimes whose images a cluster has only when asked: one function of each, from success to reset (§3.2, §3.4)."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from environment import java_function
from installation.account import Account
from installation.archives import zipped
from installation.kubectl import kubectl

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = str(ROOT / "examples" / "runtimes" / "runtime-python3.11" / "runtime.yaml")
IMAGES = ["runtime-nodejs22.x", "runtime-nodejs24.x", "runtime-java21", "runtime-ruby3.3", "runtime-python3.11"]
NODE = """
const loaded = String(Date.now() + Math.random());

exports.handler = async (event, context) => {
  if (event.action === "raise") throw new RangeError("boom");
  if (event.action === "sleep") await new Promise((resolve) => setTimeout(resolve, 60_000));
  console.log(`invoked as ${context.awsRequestId}`);
  console.log("printed");
  return {
    loaded,
    arn: context.invokedFunctionArn,
    name: context.functionName,
    memory: Number(context.memoryLimitInMB),
    remaining: context.getRemainingTimeInMillis(),
    layer: require("greeting").text,
    environment: process.env.AWS_EXECUTION_ENV,
    version: Number(process.versions.node.split(".")[0]),
  };
};
"""
RUBY = """
require 'greeting'
LOADED = Process.clock_gettime(Process::CLOCK_REALTIME).to_s

def handler(event:, context:)
  raise RangeError, 'boom' if event['action'] == 'raise'
  sleep 60 if event['action'] == 'sleep'
  puts "invoked as #{context.aws_request_id}"
  puts 'printed'
  { loaded: LOADED, arn: context.invoked_function_arn, name: context.function_name,
    memory: context.memory_limit_in_mb.to_i, remaining: context.get_remaining_time_in_millis, layer: Greeting::TEXT,
    environment: ENV['AWS_EXECUTION_ENV'], version: RUBY_VERSION[0, 3].to_f }
end
"""
PYTHON = """
import os, sys, time
from greeting import text
loaded = str(time.time())

def handler(event, context):
    if event.get("action") == "raise":
        raise IndexError("boom")
    if event.get("action") == "sleep":
        time.sleep(60)
    print(f"invoked as {context.aws_request_id}")
    print("printed")
    return {
        "loaded": loaded,
        "arn": context.invoked_function_arn,
        "name": context.function_name,
        "memory": int(context.memory_limit_in_mb),
        "remaining": context.get_remaining_time_in_millis(),
        "layer": text,
        "environment": os.environ["AWS_EXECUTION_ENV"],
        "version": sys.version_info.minor,
    }
"""
"""Each tells the same of itself, fails, and sleeps past its timeout."""

RAISED = {
    "nodejs22.x": "RangeError",
    "nodejs24.x": "RangeError",
    "java21": "java.lang.IllegalStateException",
    "ruby3.3": "Function<RangeError>",
    "python3.11": "IndexError",
}
"""A runtime, and how its client names the type of the exception."""
VERSIONS = {"nodejs22.x": 22, "nodejs24.x": 24, "java21": 21, "ruby3.3": 3.3, "python3.11": 11}
LAYERS = {
    "node": {"nodejs/node_modules/greeting.js": "exports.text = 'hello from a layer';"},
    "ruby": {"ruby/lib/greeting.rb": "module Greeting\n  TEXT = 'hello from a layer'\nend\n"},
    "python": {"python/lib/python3.11/site-packages/greeting.py": "text = 'hello from a layer'"},
}
SOURCES = {"node": NODE, "ruby": RUBY, "python": PYTHON}
TIMEOUT_S = 20
MEMORY_MB = 512


pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.environ.get("CI") == "true", reason="five more images take minutes that CI has not"),
]
"""The first test builds the images, where they are not there yet."""


@pytest.fixture(scope="module")
def functions(account: Account) -> Iterator[dict[str, Any]]:
    """One function of each runtime, all of the same behaviour, and what each answered first, by runtime."""
    program = str(ROOT / "e2e" / "cluster")
    subprocess.run([sys.executable, program, "images", *IMAGES], check=True, timeout=900)
    kubectl("apply", "--filename", EXAMPLE)
    java = java_function.compiled() if java_function.compiler() else None
    layers = {name: base64.b64encode(zipped(files)).decode() for name, files in LAYERS.items()}
    layers |= {"java": java.layer} if java else {}
    for name, content in layers.items():
        account.apply({"kind": "Layer", "metadata": {"name": name}, "spec": {"content": {"zipFile": content}}})
    for runtime in VERSIONS:
        language = runtime.rstrip("0123456789.x").removesuffix("js")
        if language == "java" and java is None:
            continue
        java_code = {"handler": "example.Handler::handle", "code": {"zipFile": java.code if java else ""}}
        variables = {"JAVA_TOOL_OPTIONS": "-Dfrom.tool.options=yes"} if language == "java" else {}
        spec = java_code if language == "java" else {"code": {"inline": SOURCES[language]}}
        account.function(
            name_of(runtime), runtime=runtime, ready=False, memorySize=MEMORY_MB, timeout=TIMEOUT_S,
            layers=[f"{language}:1"], environment={"variables": variables}, **spec,
        )  # fmt: skip
    made = [runtime for runtime in VERSIONS if java is not None or not runtime.startswith("java")]
    for runtime in made:
        account.wait_ready(name_of(runtime))
    with ThreadPoolExecutor() as threads:
        answers = list(threads.map(lambda runtime: invoke(account, runtime, {}), made))
    yield dict(zip(made, answers, strict=True))
    kubectl("delete", "--filename", EXAMPLE, "--ignore-not-found")


def name_of(runtime: str) -> str:
    """The name of the function of a runtime."""
    return f"of-{runtime.replace('.', '-')}"


def invoke(account: Account, runtime: str, event: Any) -> Any:
    """One invocation, with the end of its log."""
    return account.invoke(name_of(runtime), event, LogType="Tail")


def first(functions: dict[str, Any], runtime: str) -> Any:
    """What a function answered first; skips the test where there is none of the runtime."""
    if runtime not in functions:
        pytest.skip("no javac on this machine compiles the function")
    return functions[runtime]


@pytest.mark.parametrize("runtime", VERSIONS)
def test_a_function_of_each_runtime_knows_its_invocation(
    account: Account, functions: dict[str, Any], runtime: str
) -> None:
    """The context, the layer, the interpreter's own version, and the log with what was printed."""
    answer = first(functions, runtime)
    assert "FunctionError" not in answer, answer["Payload"]
    seen = answer["Payload"]
    assert (seen["arn"], seen["name"]) == (account.arn(name_of(runtime)), name_of(runtime))
    assert (seen["memory"], seen["layer"]) == (MEMORY_MB, "hello from a layer")
    assert (seen["environment"], seen["version"]) == (f"AWS_Lambda_{runtime}", VERSIONS[runtime])
    assert 0 < seen["remaining"] <= TIMEOUT_S * 1000
    lines = base64.b64decode(answer["LogResult"]).decode()
    request_id = answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
    assert f"invoked as {request_id}" in lines
    assert "printed" in lines


@pytest.mark.parametrize("runtime", VERSIONS)
def test_an_exception_is_told_in_the_words_of_the_runtime(
    account: Account, functions: dict[str, Any], runtime: str
) -> None:
    """Type, message and trace; the process goes on with the next event."""
    first(functions, runtime)

    def goes_on() -> None:
        loaded = invoke(account, runtime, {})["Payload"]["loaded"]
        answer = invoke(account, runtime, {"action": "raise"})
        assert answer["FunctionError"] == "Unhandled"
        assert (answer["Payload"]["errorType"], answer["Payload"]["errorMessage"]) == (RAISED[runtime], "boom")
        assert answer["Payload"].get("stackTrace") or answer["Payload"].get("trace")
        assert invoke(account, runtime, {})["Payload"]["loaded"] == loaded

    account.in_one_environment(name_of(runtime), goes_on)


def test_a_timeout_starts_each_runtime_anew(account: Account, functions: dict[str, Any]) -> None:
    """The caller is told, and the next event finds another process."""
    with ThreadPoolExecutor() as threads:
        answers = list(threads.map(lambda runtime: invoke(account, runtime, {"action": "sleep"}), functions))
        after = list(threads.map(lambda runtime: invoke(account, runtime, {}), functions))
    assert [answer["Payload"]["errorType"] for answer in answers] == ["Sandbox.Timedout"] * len(functions)
    for runtime, answer in zip(functions, after, strict=True):
        assert answer["Payload"]["loaded"] != functions[runtime]["Payload"]["loaded"], runtime


def test_the_heap_of_java_is_sized_by_the_functions_memory(functions: dict[str, Any]) -> None:
    """85 parts of 100, as on Lambda, less what the collector keeps for itself; and what the function's author adds."""
    seen = first(functions, "java21")["Payload"]
    assert MEMORY_MB * 0.75 < seen["heap"] <= MEMORY_MB * 0.85 + 1
    assert seen["property"] == "yes"
