"""Layers in real environments: published, unpacked in order, found by each runtime, kept by versions (§1.5.5, §3.4)."""

import base64
import io
import json
import zipfile
from pathlib import Path

import pytest

from installation.account import Account
from installation.kubectl import KubectlError, eventually, kubectl, staying

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
NAMES = "import shared, only\n\ndef handler(event, context):\n    return [shared.name, only.name]"


def zipped(files: dict[str, str]) -> str:
    """An archive of text files, as base64; all can be executed."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as folder:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o100755 << 16
            folder.writestr(entry, text)
    return base64.b64encode(archive.getvalue()).decode()


def layer(account: Account, name: str, files: dict[str, str], number: int = 1) -> str:
    """Publishes a version of a layer, and returns its ARN."""
    spec = {"content": {"zipFile": zipped(files)}}
    account.apply({"kind": "Layer", "metadata": {"name": name}, "spec": spec})

    def published() -> str:
        status = account.get("layer", name).get("status", {})
        assert status.get("latestVersion") == number, json.dumps(status)
        return str(status["latestVersionArn"])

    return eventually(published)


def test_the_example_runs(account: Account) -> None:
    """`examples/layer.yaml`: the function imports what its layer has."""
    kubectl("--namespace", account.namespace, "apply", "--filename", str(EXAMPLES / "layer.yaml"))
    account.wait_ready("hello-layer")
    answer = account.invoke("hello-layer", {"name": "you"})
    assert answer["Payload"] == {"hello": "you", "from": "/opt/python/greeting.py"}


def test_the_example_of_an_extension_runs_beside_its_function(account: Account) -> None:
    """`examples/extension.yaml`: a program of the layer sees every invocation of its environment, and its telemetry.

    Which is sent to the name that Lambda has for the environment itself.
    """
    kubectl("--namespace", account.namespace, "apply", "--filename", str(EXAMPLES / "extension.yaml"))
    account.wait_ready("counted")
    expected = {"invocations": 2, "billedMs": 2, "lines": 2}

    def counted() -> bool:
        found = account.invoke("counted")["Payload"]
        return all(found.get(name, 0) >= count for name, count in expected.items())

    assert eventually(counted)


def test_later_layers_win_and_versions_keep_theirs(account: Account) -> None:
    """A new version of a layer changes nothing until the function names it."""
    site = "python/lib/python3.13/site-packages/only.py"
    first = layer(account, "first", {"python/shared.py": "name = 'first'", site: "name = 'only'"})
    layer(account, "second", {"python/shared.py": "name = 'second'"})
    account.function("ordered", NAMES, layers=[first, "second:1"])
    assert account.invoke("ordered")["Payload"] == ["second", "only"]
    layer(account, "second", {"python/shared.py": "name = 'newer'"}, number=2)
    assert account.invoke("ordered")["Payload"] == ["second", "only"]
    account.function("ordered", NAMES, layers=[first, "second:2"])
    assert eventually(lambda: account.invoke("ordered")["Payload"] == ["newer", "only"])


def test_node_modules_and_programs_of_layers_are_found(account: Account) -> None:
    """Both folders of modules for Node.js; `/opt/bin` for whatever a function starts."""
    module = {"nodejs/node_modules/shared/index.js": "exports.name = 'node';", "bin/tool": "#!/bin/sh\necho tool"}
    module["nodejs/node20/node_modules/versioned/index.js"] = "exports.name = 'node20';"
    layer(account, "tools", module)
    source = """
const shared = require("shared");
exports.handler = async () =>
    [shared.name, require("versioned").name, require("child_process").execFileSync("tool").toString().trim()];
"""
    account.function("node", runtime="nodejs20.x", layers=["tools:1"], code={"zipFile": zipped({"index.js": source})})
    assert account.invoke("node")["Payload"] == ["node", "node20", "tool"]


def test_five_layers_are_there_together(account: Account) -> None:
    """As many as a function may have, each of a size that takes several packets."""
    for number in range(5):
        layer(account, f"part-{number}", {f"python/part{number}.py": f"data = '{str(number) * 100_000}'"})
    source = """
import part0, part1, part2, part3, part4

def handler(event, context):
    return [part.data[0] + str(len(part.data)) for part in (part0, part1, part2, part3, part4)]
"""
    account.function("parts", source, layers=[f"part-{number}:1" for number in range(5)])
    assert account.invoke("parts")["Payload"] == [f"{number}100000" for number in range(5)]


def test_a_sixth_layer_is_refused(account: Account) -> None:
    """With Lambda's words, before anything is changed."""
    with pytest.raises(KubectlError, match=r"Cannot reference more than 5 layers\."):
        account.function("six", "x = 1", ready=False, layers=[f"layer-{number}:1" for number in range(6)])


def test_an_idle_environment_holds_large_layers_and_lets_go_of_those_of_others(account: Account) -> None:
    """The only one that is idle unpacks what was claimed last; a function without layers finds nothing of it."""
    size = "pool-size.kubelambda.dev/python3.13"
    kubectl("annotate", "namespace", account.namespace, f"{size}=1")
    names = ["half-0", "half-1"]
    for name in names:
        content = {"zipFile": zipped({f"python/{name.replace('-', '')}.py": f"data = '{name[-1] * 600_000}'"})}
        manifest = {"kind": "Layer", "metadata": {"name": name}, "spec": {"content": content}}
        manifest["apiVersion"] = "kubelambda.dev/v1alpha1"
        apply = ("--namespace", account.namespace, "apply", "--server-side", "--filename", "-")
        kubectl(*apply, stdin=json.dumps(manifest))
    source = """
import half0, half1

def handler(event, context):
    return len(half0.data) + len(half1.data)
"""
    account.function("large", source, layers=[f"{name}:1" for name in names])
    account.function("plain", "import os\n\ndef handler(event, context):\n    return os.listdir('/opt')")
    assert account.invoke("large")["Payload"] == 1_200_000

    def held() -> bool:
        idle = [pod["metadata"]["name"] for pod in staying(account.pods("kubelambda.dev/pool=python3.13"))]
        assert len(idle) == 1
        listed = kubectl("--namespace", account.namespace, "exec", idle[0], "--", "ls", "/opt/python")
        return set(listed.split()) == {"half0.py", "half1.py"}

    eventually(held)
    assert account.invoke("plain")["Payload"] == []
    kubectl("annotate", "namespace", account.namespace, f"{size}-")
