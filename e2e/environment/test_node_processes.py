"""A Node.js process is as the next one, and as one that a wrapper starts: the same probes and ends in each of them."""

import base64
import io
import json
import re
import zipfile
from typing import Any

import pytest

from installation.account import Account

PROBES = {
    # what the interpreter was started with
    "argv": "[process.argv, process.argv0, process.execArgv, process.execPath, process.title]",
    "flags": "[process.allowedNodeEnvironmentFlags.size, process.report.excludeNetwork, process.debugPort]",
    "memory": "v8.getHeapStatistics().heap_size_limit",
    # the program, and where modules come from
    "globals": "Object.getOwnPropertyNames(globalThis).sort()",
    "main": "[require.main?.filename ?? null, __filename, module.paths, module.parent?.filename ?? null]",
    "global paths": "[Module.globalPaths, require.resolve.paths('somewhere')]",
    "cached": "Object.keys(require.cache).sort()",
    "built in": "process.moduleLoadList.filter((name) => !name.includes('internal')).sort()",
    # variables
    "process.env": "Object.entries(process.env).sort()",
    "variables of children": "child.execFileSync('/usr/bin/env').toString().split('\\n').sort()",
    "variables at the start": "fs.readFileSync('/proc/self/environ').toString().includes('KUBELAMBDA')",
    # the process
    "folder": "[process.cwd(), process.umask()]",
    "user": "[process.getuid(), process.geteuid(), process.getgid(), process.getgroups()]",
    "session": "fs.readFileSync('/proc/self/stat').toString().replace(/.*\\) /, '').split(' ').slice(2, 5)"
    ".map((id) => +id === process.pid)",
    "resources": "fs.readFileSync('/proc/self/limits').toString()",
    "status": "fs.readFileSync('/proc/self/status').toString().split('\\n')"
    ".filter((line) => /^(Name|SigPnd|SigBlk|ShdPnd|SigIgn|SigCgt|CapEff|NoNewPrivs|Seccomp|Umask):/.test(line))",
    "out of memory": "fs.readFileSync('/proc/self/oom_score_adj').toString()",
    "descriptors": "descriptors()",
    "scheduling": "[os.getPriority(), os.availableParallelism()]",
    # signals, hooks, streams
    "listeners": "process.eventNames().map((name) => [String(name), process.listenerCount(name)]).sort()",
    "hooks": "[process.hasUncaughtExceptionCaptureCallback(), Error.stackTraceLimit, typeof Error.prepareStackTrace]",
    "streams": "['stdin', 'stdout', 'stderr'].map((name) => [name, process[name].constructor.name, process[name].fd,"
    " process[name].isTTY ?? null, process[name].writable ?? null, process[name].readable ?? null])",
    "console": "Object.keys(console).sort().map((name) => [name, String(console[name]).length])",
    # time, place and language
    "time zone": "[new Date(0).toString(), Intl.DateTimeFormat().resolvedOptions()]",
    "versions": "[process.version, process.versions, process.arch, process.release.name]",
    # what it starts
    "another interpreter": "child.execFileSync(process.execPath, ['-p', 'JSON.stringify([process.argv.length,"
    " process.execArgv, Object.keys(require.cache), module.paths])']).toString()",
}
ENDS = {
    "process.exit(3)": "process.exit(3)",
    "process.exit()": "process.exit()",
    "an exit code": "process.exitCode = 5; process.exit()",
    "at exit": "process.on('exit', () => console.log('called at exit')); process.exit(0)",
    "SIGTERM": "process.kill(process.pid, 'SIGTERM'); setTimeout(() => {}, 9000)",
    "SIGKILL": "process.kill(process.pid, 'SIGKILL')",
    "abort": "process.abort()",
    "thrown": "throw new RangeError('no')",
    "thrown later": "setTimeout(() => { throw new RangeError('later'); }, 1); await new Promise(() => {})",
    "rejected": "Promise.reject(new TypeError('nobody caught it')); await new Promise(() => {})",
}
SOURCE = """
const [child, fs, os, v8, Module] = ['child_process', 'fs', 'os', 'v8', 'module'].map((name) => require(name));

function descriptors() {
  const found = {};
  for (const number of fs.readdirSync('/proc/self/fd')) {
    try {
      found[number] = fs.readlinkSync(`/proc/self/fd/${number}`).replace(/:.*/, '');
    } catch {}
  }
  return found;
}

const PROBES = %s;
const AsyncFunction = (async () => {}).constructor;

exports.handler = async (event) => {
  if (event.end) return await new AsyncFunction(event.end)();
  const found = {};
  for (const [name, expression] of Object.entries(PROBES)) {
    try {
      found[name] = eval(expression);
    } catch (error) {
      found[name] = `FAILED: ${error}`;
    }
  }
  return found;
};
"""
WRAPPER = '#!/bin/bash\nexec "$@"\n'


@pytest.fixture(scope="module")
def probes(account: Account) -> str:
    """A function that tells what it sees of its process, and ends it as it is asked to."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as folder:
        folder.writestr("index.js", SOURCE % json.dumps(PROBES))
        entry = zipfile.ZipInfo("wrapper")
        entry.external_attr = 0o755 << 16
        folder.writestr(entry, WRAPPER)
    code = {"zipFile": base64.b64encode(archive.getvalue()).decode()}
    for name, more in (("probes", {}), ("wrapped", {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrapper"})):
        variables = {"TZ": "Asia/Tokyo", "GREETING": "grüß", **more}
        account.function(
            name, runtime="nodejs20.x", code=code, timeout=20, reservedConcurrentExecutions=1,
            environment={"variables": variables},
        )  # fmt: skip
    return "probes"


def seen(account: Account, name: str) -> Any:
    """What the probes find, without what is of the one invocation or the one environment."""
    text = json.dumps(account.invoke(name, {})["Payload"])
    return json.loads(re.sub(r"Root=[^\"\\]*|\[\$LATEST\]\w+", "_", text))


def end(account: Account, name: str, how: str) -> Any:
    """Ends the process of a function; what the caller was told, without ids."""
    told = json.dumps(account.invoke(name, {"end": how})["Payload"])
    return json.loads(re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "_", told))


def test_every_process_of_an_environment_finds_the_same(account: Account, probes: str) -> None:
    """The first one, the one after a reset, and one that a wrapper starts: that has the wrapper's variable more."""
    first = seen(account, probes)
    assert not {name: value for name, value in first.items() if str(value).startswith("FAILED: ")}
    end(account, probes, "process.exit(1)")
    assert seen(account, probes) == first
    wrapped = seen(account, "wrapped")
    of_the_wrapper = {"process.env", "variables of children"}
    same = first.keys() - of_the_wrapper
    assert {name: wrapped[name] for name in same} == {name: first[name] for name in same}
    own = {"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_EXEC_WRAPPER", "SHLVL", "_"}
    variables, others = dict(first["process.env"]), dict(wrapped["process.env"])
    assert {name for name in {*variables, *others} if variables.get(name) != others.get(name)} <= own
    assert first["time zone"][0].startswith("Thu Jan 01 1970 09:00:00 GMT+0900")
    assert first["variables at the start"] is False
    assert set(first["descriptors"].values()) <= {"/dev/null", "pipe", "socket", "anon_inode", "/proc/1/fd"}


@pytest.mark.parametrize("how", ENDS.values(), ids=ENDS.keys())
def test_every_process_ends_the_same_way(account: Account, probes: str, how: str) -> None:
    """The first one and the one after it, whatever way is chosen; and the environment goes on."""
    told = [end(account, probes, how) for _ in range(2)]
    assert told[0] == told[1]
    assert seen(account, probes)["folder"][0] == "/var/task"
