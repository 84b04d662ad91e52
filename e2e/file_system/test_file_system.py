"""File systems in real environments: shared by all, at once, as the user that the access point says (§10.2)."""

import json
import threading
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from installation.account import Account
from installation.kubectl import eventually, kubectl

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
FILES = """
import fcntl, os, pathlib, socket, time

path = pathlib.Path("/mnt/data/counter")

def handler(event, context):
    match event["do"]:
        case "count":
            path.with_name(f"writer-{socket.gethostname()}").touch()
            while len(list(path.parent.glob("writer-*"))) < event["writers"]:
                time.sleep(0.01)
            for _ in range(event["times"]):
                with open(path, "a+") as file:
                    fcntl.flock(file, fcntl.LOCK_EX)
                    file.seek(0)
                    number = int(file.read() or 0)
                    time.sleep(0.001)
                    file.truncate(0)
                    file.write(str(number + 1))
            time.sleep(0.2)
        case "write":
            path.with_name(event["name"]).write_text("written")
    root = path.parent.stat()
    return {"host": socket.gethostname(), "uid": os.getuid(), "gid": os.getgid(), "groups": sorted(os.getgroups()),
            "root": [root.st_uid, root.st_gid, oct(root.st_mode & 0o777)],
            "files": sorted(each.name for each in path.parent.iterdir()),
            "owners": sorted({each.stat().st_uid for each in path.parent.iterdir()}),
            "counter": path.read_text() if path.exists() else None}
"""


@pytest.fixture(scope="module")
def claim(account: Account) -> str:
    """A claim that many nodes may mount."""
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    account.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "files"}, "spec": spec})
    return "files"


def access_point(account: Account, name: str, claim: str, **spec: object) -> list[dict[str, str]]:
    """Makes an access point; returns what a function says to mount it."""
    account.apply({"kind": "AccessPoint", "metadata": {"name": name}, "spec": {"persistentVolumeClaim": claim, **spec}})
    return [{"arn": name, "localMountPath": "/mnt/data"}]


def refused(account: Account, name: str, said: str) -> None:
    """The caller of a function whose file system cannot be mounted is told so, and so is whoever looks at it."""
    with pytest.raises(ClientError, match="could not mount the EFS file system") as failed:
        account.invoke(name, {"do": "look"})
    answer = failed.value.response
    found = (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"])
    assert found == (403, "EFSMountFailureException"), answer
    assert said in answer["Error"]["Message"]

    def told() -> bool:
        conditions = account.get("function", name)["status"]["conditions"]
        return any(each["type"] == "FileSystemMounted" and said in each["message"] for each in conditions)

    eventually(told)


def test_the_example_shares_a_file(account: Account) -> None:
    """`examples/files.yaml`: what one function writes, another reads, in another environment."""
    kubectl("--namespace", account.namespace, "apply", "--filename", str(EXAMPLES / "files.yaml"))
    for name in ("write-file", "read-file"):
        account.wait_ready(name)
    written = account.invoke("write-file", {"text": "hello"})["Payload"]
    read = account.invoke("read-file", {})["Payload"]
    assert read["text"] == "hello"
    assert written["written by"] != read["read by"]


def test_two_environments_write_one_file_with_locks(account: Account, claim: str) -> None:
    """Two at once, each counting under a lock: nothing is lost, and both see the same."""
    mounted = access_point(account, "locked", claim, rootDirectory="/locked")
    # Whoever is first waits for the other one's pod, inside.
    account.function("counting", FILES, timeout=180, fileSystemConfigs=mounted)
    answers: list[dict[str, object]] = []

    def count() -> None:
        answers.append(account.invoke("counting", {"do": "count", "times": 100, "writers": 2})["Payload"])

    writers = [threading.Thread(target=count) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len({answer["host"] for answer in answers}) == 2, answers
    assert account.invoke("counting", {"do": "look"})["Payload"]["counter"] == "200"


def test_a_function_is_the_user_of_its_access_point(account: Account, claim: str) -> None:
    """Its files are that user's; another root directory shows nothing of them."""
    mounted = access_point(account, "mine", claim, rootDirectory="/users/mine", posixUser={"uid": 1234, "gid": 2345})
    account.function("mine", FILES, fileSystemConfigs=mounted)
    answer = account.invoke("mine", {"do": "write", "name": "note"})["Payload"]
    assert (answer["uid"], answer["gid"], answer["files"], answer["owners"]) == (1234, 2345, ["note"], [1234])
    other = access_point(account, "others", claim, rootDirectory="/users/others")
    account.function("others", FILES, fileSystemConfigs=other)
    assert account.invoke("others", {"do": "look"})["Payload"]["files"] == []


def test_a_root_directory_is_made_as_its_owners(account: Account, claim: str) -> None:
    """With the mode that was asked for; who it keeps out is told by an ordinary error of the function."""
    creation = {"ownerUid": 1234, "ownerGid": 2345, "permissions": "0750"}
    user = {"uid": 1234, "gid": 2345, "secondaryGids": [3456]}
    mounted = access_point(account, "owned", claim, rootDirectory="/made/app", creationInfo=creation, posixUser=user)
    account.function("owner", FILES, fileSystemConfigs=mounted)
    answer = account.invoke("owner", {"do": "write", "name": "note"})["Payload"]
    assert (answer["root"], answer["files"], answer["owners"]) == ([1234, 2345, "0o750"], ["note"], [1234])
    assert 3456 in answer["groups"]
    stranger = access_point(account, "strange", claim, rootDirectory="/made/app", posixUser={"uid": 9, "gid": 9})
    account.function("stranger", FILES, fileSystemConfigs=stranger)
    assert "Permission denied" in json.dumps(account.invoke("stranger", {"do": "look"})["Payload"])
    creation = {"ownerUid": 77, "ownerGid": 77, "permissions": "0700"}
    inside = access_point(account, "inside", claim, rootDirectory="/made/app/inside", creationInfo=creation)
    account.function("inside", FILES, fileSystemConfigs=inside)
    refused(account, "inside", "user 77 cannot make it: Permission denied")


def test_a_mount_that_fails_is_the_callers_error(account: Account) -> None:
    """With Lambda's status and type: here the folder of the volume is not on the node."""
    volume = f"broken-{account.namespace}"
    broken = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "",
        "hostPath": {"path": "/nonexistent/kubelambda", "type": "Directory"},
        "claimRef": {"name": "broken", "namespace": account.namespace},
    }
    account.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume}, "spec": broken})
    wanted = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""}
    account.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "broken"}, "spec": wanted})
    account.function("broken", FILES, fileSystemConfigs=access_point(account, "broken", "broken"))
    try:
        refused(account, "broken", "hostPath type check failed")
    finally:
        kubectl("delete", "persistentvolume", volume, "--wait=false")


def test_a_claim_that_a_function_mounts_stays(account: Account) -> None:
    """Though nothing runs; it goes with the function."""
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    account.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "kept"}, "spec": spec})
    account.function("keeps", FILES, fileSystemConfigs=access_point(account, "kept", "kept"))

    def finalizers() -> list[str]:
        return list(account.get("persistentvolumeclaim", "kept")["metadata"]["finalizers"])

    eventually(lambda: "kubelambda.dev/access-point-claim" in finalizers())
    kubectl("--namespace", account.namespace, "delete", "persistentvolumeclaim", "kept", "--wait=false")
    eventually(lambda: finalizers() == ["kubelambda.dev/access-point-claim"])
    kubectl("--namespace", account.namespace, "delete", "function", "keeps")
    kubectl("--namespace", account.namespace, "wait", "--for=delete", "persistentvolumeclaim/kept", "--timeout=110s")


def test_nothing_is_written_through_a_read_only_access_point(account: Account, claim: str) -> None:
    """Whatever the function tries."""
    mounted = access_point(account, "read-only", claim, rootDirectory="/read-only", readOnly=True)
    account.function("read-only", FILES, fileSystemConfigs=mounted)
    answer = account.invoke("read-only", {"do": "write", "name": "note"})
    assert answer["FunctionError"] == "Unhandled"
    assert "Read-only file system" in json.dumps(answer["Payload"])


def test_a_missing_claim_is_said(account: Account) -> None:
    """On the access point, on the function, and to whoever invokes it."""
    mounted = access_point(account, "nowhere", "no-such-claim")
    account.function("nowhere", FILES, ready=False, fileSystemConfigs=mounted)
    kubectl(
        "--namespace",
        account.namespace,
        "wait",
        "--for=jsonpath={.status.state}=Failed",
        "function/nowhere",
        "--timeout=110s",
    )
    status = account.get("function", "nowhere")["status"]
    assert "PersistentVolumeClaim no-such-claim does not exist" in status["stateReason"]
    assert status["stateReasonCode"] == "EFSMountFailure"
    with pytest.raises(ClientError, match="no-such-claim does not exist") as failed:
        account.invoke("nowhere")
    assert failed.value.response["Error"]["Code"] == "EFSMountFailureException"
