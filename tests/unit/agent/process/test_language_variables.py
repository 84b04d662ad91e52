"""Where the interpreters of a function look for its code and its layers (§3.4.3)."""

from pathlib import Path
from typing import Any

import pytest

from kubelambda.agent.process.configuration import process_environment
from kubelambda.api.environment_protocol import ArchiveReference, Specialization


def variables(runtime: str, **more: Any) -> dict[str, str]:
    """The process environment of a function of a runtime."""
    configuration = Specialization(
        token="token",
        name="hello",
        uid="uid",
        arn="arn:aws:lambda:us-east-1:123456789012:function:hello",
        account_id="123456789012",
        version="$LATEST",
        revision="0123456789abcdef",
        runtime=runtime,
        handler="index.handler",
        memory_size=128,
        timeout=3,
        log_group="/aws/lambda/hello",
        region="us-east-1",
        code=ArchiveReference("0" * 64, 1),
        **more,
    )
    return process_environment(
        configuration, log_stream="stream", runtime_api="127.0.0.1:9001", task=Path("/var/task"), opt=Path("/opt")
    )


@pytest.mark.parametrize(("runtime", "version"), [("ruby3.3", "3.3.0"), ("ruby3.4", "3.4.0")])
def test_ruby_finds_gems_of_the_package_before_those_of_layers(runtime: str, version: str) -> None:
    """By the version of its ABI."""
    found = variables(runtime)
    assert found["GEM_PATH"] == f"/var/task/vendor/bundle/ruby/{version}:/opt/ruby/gems/{version}"
    assert found["RUBYLIB"] == "/var/task:/var/runtime/lib:/opt/ruby/lib"
    assert found["GEM_HOME"] == "/var/runtime"


@pytest.mark.parametrize("major", ["20", "22", "24"])
def test_node_finds_what_a_layer_has_for_its_version_first(major: str) -> None:
    """Then what it has for all, then the runtime's own."""
    assert variables(f"nodejs{major}.x")["NODE_PATH"].split(":") == [
        f"/opt/nodejs/node{major}/node_modules",
        "/opt/nodejs/node_modules",
        "/var/runtime/node_modules",
        "/var/runtime",
        "/var/task",
    ]


@pytest.mark.parametrize("runtime", ["nodejs24.x", "java21", "java8.al2", "ruby3.3", "python3.14", "dotnet8"])
def test_every_managed_runtime_is_told_its_name(runtime: str) -> None:
    """And has no variable of another language."""
    found = variables(runtime)
    assert found["AWS_EXECUTION_ENV"] == f"AWS_Lambda_{runtime}"
    assert ("GEM_PATH" in found) == runtime.startswith("ruby")
    assert ("NODE_PATH" in found) == runtime.startswith("nodejs")


@pytest.mark.parametrize("runtime", ["provided.al2", "provided.al2023"])
def test_an_os_only_runtime_is_told_no_name(runtime: str) -> None:
    """As on Lambda (§3.4.4)."""
    assert "AWS_EXECUTION_ENV" not in variables(runtime)


def test_an_author_may_choose_other_folders() -> None:
    """These are defaults (§3.4.5)."""
    assert variables("ruby3.3", variables={"RUBYLIB": "/opt/mine"})["RUBYLIB"] == "/opt/mine"
