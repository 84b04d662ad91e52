"""How the runtimes are started, by the agent and by the scripts of their images."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

import kubelambda
from kubelambda.agent.process.process import command_of

IMAGES = Path(__file__).parents[4] / "images"
FOLDERS = [Path("/var/task"), Path("/opt"), Path("/var/runtime")]
OWN = "/var/runtime/bootstrap"


@pytest.mark.parametrize(
    ("memory", "options"),
    [
        ("128", ["--max-semi-space-size=6", "--max-old-space-size=116"]),
        ("256", ["--max-semi-space-size=12", "--max-old-space-size=231"]),
        ("10240", ["--max-semi-space-size=512", "--max-old-space-size=9216"]),
    ],
)
def test_the_heap_of_node_is_sized_by_the_functions_memory(memory: str, options: list[str]) -> None:
    """And not by the container that it starts in, whose limit is that of any function until the pod is resized."""
    command = command_of([], "node", "index.handler", {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": memory}, FOLDERS)
    assert command[1:3] == options
    assert command[-1] == "index.handler"


@pytest.mark.parametrize("image", ["runtime-nodejs", "runtime-nodejs20.x"])
def test_node_is_told_by_the_script_of_its_image_too_how_to_print(image: str) -> None:
    """Out of our package, wherever the image has that: a file that is not there ends the process."""
    ours = command_of([], "node", "index.handler", {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128"}, FOLDERS)
    file = Path(ours[ours.index("--require") + 1])
    assert file.is_file()
    inside = file.relative_to(Path(kubelambda.__file__).parents[1])
    *_, copied = (IMAGES / image / "Dockerfile").read_text().split()
    assert started(image)[1:3] == ["--require", f"{copied}/{inside}"]


def test_a_wrapper_is_started_once() -> None:
    """By us for what a function or a Runtime names; by the script of an image, which knows its interpreter, itself."""
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper"}
    wrapped = ["/bin/sh", "-c", 'exec "$0" "$@"', "/opt/wrapper", "/usr/bin/lua", "index.handler"]
    assert command_of(["/usr/bin/lua"], "none", "index.handler", variables, FOLDERS) == wrapped
    assert command_of([OWN], "none", "index.handler", variables, FOLDERS) == [OWN, "index.handler"]


def started(script: str, **variables: str) -> list[str]:
    """The command that the script of an image ends in, as a wrapper gets it."""
    environment = {
        "PATH": os.environ["PATH"],
        "_HANDLER": "the.handler",
        "AWS_LAMBDA_EXEC_WRAPPER": "echo",
        **variables,
    }
    command = ["/bin/sh", str(IMAGES / script / "bootstrap"), "the.handler"]
    return shlex.split(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize(("memory", "heap_kb"), [("128", 111_411), ("512", 445_644), ("1536", 1_336_934)])
def test_the_heap_of_java_is_sized_by_the_functions_memory(memory: str, heap_kb: int) -> None:
    """85 parts of 100, as Lambda's own processes have it."""
    command = started("runtime-java", AWS_LAMBDA_FUNCTION_MEMORY_SIZE=memory)
    assert command[0] == "/var/lang/bin/java"
    assert f"-XX:MaxHeapSize={heap_kb}k" in command
    assert {"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"} <= {*command}
    assert command[-2:] == ["com.amazonaws.services.lambda.runtime.api.client.AWSLambda", "the.handler"]


@pytest.mark.parametrize(
    ("options", "ours"),
    [
        ("-Xmx64m", "MaxHeapSize"),
        ("-XX:MaxRAMPercentage=50", "MaxHeapSize"),
        ("-XX:+UseG1GC", "UseSerialGC"),
        ("-XX:+TieredCompilation", "TieredStopAtLevel"),
        ("-Xshare:off", "SharedArchiveFile"),
    ],
)
def test_what_java_tool_options_decide_is_left_to_them(options: str, ours: str) -> None:
    """A command line would overrule them, and two collectors end the process."""
    assert not [word for word in started("runtime-java", JAVA_TOOL_OPTIONS=options) if ours in word]
    assert [word for word in started("runtime-java") if ours in word]


@pytest.mark.parametrize(
    ("script", "interpreter"),
    [("runtime-ruby3.3", "ruby"), ("runtime-nodejs", "node"), ("runtime-python3.13", "python3.13")],
)
def test_a_wrapper_gets_the_interpreters_command(script: str, interpreter: str) -> None:
    """So that it can add options to it, as Lambda's documentation shows."""
    assert started(script)[0] == f"/var/lang/bin/{interpreter}"
