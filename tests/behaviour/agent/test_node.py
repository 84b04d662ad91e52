"""A process of Node.js, with the options that it gets of us and a client of the test's own."""

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from kubelambda.agent.process.process import command_of

FOLDERS = [Path("/var/task"), Path("/opt"), Path("/var/runtime")]
CLIENT = r"""
const http = require("http");
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");

function call(method, rest, body) {
  return new Promise((resolve) => {
    const request = http.request({ host, port, method, path: "/2018-06-01/runtime/invocation/" + rest }, (answer) => {
      let text = "";
      answer.on("data", (data) => (text += data));
      answer.on("end", () => resolve([answer.headers["lambda-runtime-aws-request-id"], JSON.parse(text)]));
    });
    request.end(body);
  });
}

(async () => {
  for (;;) {
    const [id, event] = await call("GET", "next");
    for (let i = 0; i < 1000; i++) (i % 2 ? console.log : console.error)("%d %s", i, "x".repeat(1000));
    while (event === "spin");
    await call("POST", id + "/response", '"done"');
  }
})();
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js on this machine")
@pytest.mark.parametrize("how", ["answer", "spin"])
def test_all_that_it_printed_comes_before_its_report(provided: Any, how: str) -> None:
    """Though the pipe is full, and its loop does not turn any more before it answers, or is killed."""
    ours = command_of([], "node", "index.handler", {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512"}, FOLDERS)
    script = f'#!/bin/sh\nexec node {shlex.join(ours[1:-2])} "$LAMBDA_TASK_ROOT/client.cjs"\n'
    files = {"bootstrap": script, "client.cjs": CLIENT}
    assert provided.specialize(files, memory_size=512, timeout=5).json["status"] == "ready"
    provided.invoke(how)
    assert provided.logged("REPORT RequestId")
    printed = provided.log_file.read_text().partition("REPORT RequestId")[0].splitlines()
    assert [int(line.split()[0]) for line in printed if line.endswith("xxx")] == list(range(1000))
