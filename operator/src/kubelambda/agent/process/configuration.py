"""The process environment of the function that an environment became (§3.4)."""

from dataclasses import dataclass
from pathlib import Path

from kubelambda.api.environment_protocol import Specialization

_LANG = "en_US.UTF-8"
RUNTIME_ONLY = frozenset(
    (
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
        "PWD",
        "SHLVL",
    )
)
"""Variables that an external extension does not get."""


class Unusable(Exception):
    """The code cannot be used, or the runtime not be started; the message says why."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Folders of the environment and the address of its Runtime API."""

    task: Path
    opt: Path
    runtime: Path
    runtime_api: str

    @classmethod
    def below(cls, root: Path, api_port: int) -> "Paths":
        """Those of an agent whose container has its folders below `root`."""
        return cls(root / "var/task", root / "opt", root / "var/runtime", f"127.0.0.1:{api_port}")


def process_environment(
    configuration: Specialization, *, log_stream: str, runtime_api: str, task: Path, opt: Path
) -> dict[str, str]:
    """Variables of the runtime process: defaults that users may override, theirs, and those that they may not.

    `PYTHONPATH` is set by the Python runtime itself, as on Lambda: set before, it replaces the folders of layers.
    """
    defaults = {
        "LANG": _LANG,
        "TZ": ":UTC",
        "PATH": f"/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:{opt}/bin",
        "LD_LIBRARY_PATH": f"/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:{task}:{task}/lib:{opt}/lib",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
    }
    if not configuration.runtime.startswith("provided"):  # as the shell script leaves them that starts a runtime there
        defaults |= {"PWD": str(task), "SHLVL": "0"}
    if configuration.runtime.startswith("nodejs"):
        version = configuration.runtime.removeprefix("nodejs").partition(".")[0]
        layers = f"{opt}/nodejs/node{version}/node_modules:{opt}/nodejs/node_modules"
        defaults["NODE_PATH"] = f"{layers}:/var/runtime/node_modules:/var/runtime:{task}"
    if configuration.runtime.startswith("ruby"):
        version = f"{configuration.runtime.removeprefix('ruby')}.0"  # that of Ruby's ABI
        defaults |= {
            "GEM_HOME": "/var/runtime",
            "GEM_PATH": f"{task}/vendor/bundle/ruby/{version}:{opt}/ruby/gems/{version}",
            "RUBYLIB": f"{task}:/var/runtime/lib:{opt}/ruby/lib",
        }
    reserved = {
        "AWS_REGION": configuration.region,
        "AWS_DEFAULT_REGION": configuration.region,
        "AWS_LAMBDA_FUNCTION_NAME": configuration.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(configuration.memory_size),
        "AWS_LAMBDA_FUNCTION_VERSION": configuration.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": configuration.initialization_type,
        "AWS_LAMBDA_LOG_GROUP_NAME": configuration.log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
    }
    if configuration.command:  # an image has its own folders and its own defaults
        return {"TZ": ":UTC"} | configuration.variables | reserved
    reserved |= {
        "_HANDLER": configuration.handler,
        "LAMBDA_TASK_ROOT": str(task),
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
    }
    if not configuration.runtime.startswith("provided"):
        reserved["AWS_EXECUTION_ENV"] = f"AWS_Lambda_{configuration.runtime}"
    return defaults | configuration.variables | reserved


def extension_environment(variables: dict[str, str]) -> dict[str, str]:
    """Those of the runtime process that an external extension has too (§4.1.8): what is the runtime's own is not."""
    return {
        name: value
        for name, value in variables.items()
        if name not in RUNTIME_ONLY and not name.startswith(("_", "AWS_XRAY_"))
    }


def acts_on_interpreter_start(variables: dict[str, str]) -> bool:
    """Whether user variables only work when the interpreter starts with them, so that a pre-started one is no use."""
    return any(
        name in ("AWS_LAMBDA_EXEC_WRAPPER", "GLIBC_TUNABLES", "LOCPATH")
        or name.startswith(("PYTHON", "LD_", "MALLOC_", "LC_"))
        or (name == "LANG" and value != _LANG)
        for name, value in variables.items()
    )
