"""The demonstration: applies a Function, invokes it with the aws cli and boto3, shows answer, log and times."""

import base64
import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import boto3
from botocore.config import Config

from installation.account import Account
from installation.kubectl import kubectl
from mapping import aws_services

ENDPOINT = os.environ["ENDPOINT"]
EXAMPLES = Path(__file__).parent.parent / "examples"
WARM_INVOCATIONS = 200
POOL = "kubelambda-pool-python3-13"


def say(title: str) -> None:
    """A heading."""
    print(f"\n\033[1m== {title}\033[0m", flush=True)


def run(*command: str) -> str:
    """Runs a command, shows it, and returns what it printed."""
    print(f"$ {' '.join(command)}", flush=True)
    finished = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE)
    return finished.stdout


def apply_and_wait() -> None:
    """Makes the Function afresh, so that the first invocation is a cold start."""
    run("kubectl", "delete", "function", "hello", "--ignore-not-found", "--wait")
    print(run("kubectl", "apply", "-f", str(EXAMPLES / "hello.yaml")), end="")
    print(run("kubectl", "wait", "--for=condition=Ready", "function/hello", "--timeout=180s"), end="")
    print(run("kubectl", "get", "functions,runtimes"), end="")


def invoke_with_aws_cli() -> None:
    """One invocation with the aws cli; the log tail and the answer as the cli gives them."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [
            "aws",
            "lambda",
            "invoke",
            "--endpoint-url",
            ENDPOINT,
            "--function-name",
            "hello",
            "--log-type",
            "Tail",
        ]
        printed = json.loads(run(*command, "--payload", '{"name": "aws cli"}', "--output", "json", str(answer)))
        print("answer:", answer.read_text())
        print("log:\n" + base64.b64decode(printed["LogResult"]).decode(), end="")


def invoke_with_boto3() -> None:
    """Cold and warm times as a boto3 client sees them."""
    client = boto3.client("lambda", endpoint_url=ENDPOINT, config=Config(retries={"max_attempts": 0}))
    times = []
    for _ in range(WARM_INVOCATIONS):
        started = time.perf_counter()
        answer = client.invoke(FunctionName="hello", Payload=json.dumps({"name": "boto3"}), LogType="Tail")
        times.append((time.perf_counter() - started) * 1000)
    print("answer:", answer["Payload"].read().decode())
    print("log:\n" + base64.b64decode(answer["LogResult"]).decode(), end="")
    times.sort()
    print(f"{WARM_INVOCATIONS} warm invocations with boto3: p50 {statistics.median(times):.2f} ms, ", end="")
    print(f"p99 {times[int(len(times) * 0.99)]:.2f} ms (about 1 ms of it is boto3 itself)")


def cold_start() -> None:
    """The time of a first invocation, measured on a Function that has never run; another one keeps the pool alive."""
    run("kubectl", "apply", "-f", str(EXAMPLES / "fast.yaml"))
    run("kubectl", "delete", "function", "hello", "--wait")
    run("kubectl", "apply", "-f", str(EXAMPLES / "hello.yaml"))
    run("kubectl", "wait", "--for=condition=Ready", "function/hello", "--timeout=180s")
    run("kubectl", "wait", "--for=condition=Available", f"deployment/{POOL}", "--timeout=180s")
    client = boto3.client("lambda", endpoint_url=ENDPOINT, config=Config(retries={"max_attempts": 0}))
    client.invoke(FunctionName="hello", InvocationType="DryRun")
    started = time.perf_counter()
    client.invoke(FunctionName="hello", Payload=b"{}")
    cold = (time.perf_counter() - started) * 1000
    started = time.perf_counter()
    client.invoke(FunctionName="hello", Payload=b"{}")
    print(f"cold start {cold:.1f} ms, the next invocation {(time.perf_counter() - started) * 1000:.2f} ms")


def send_an_event() -> None:
    """An asynchronous invocation: accepted at once, and found in the log of an environment by its request id."""
    client = boto3.client("lambda", endpoint_url=ENDPOINT, config=Config(retries={"max_attempts": 0}))
    answer = client.invoke(FunctionName="hello", InvocationType="Event", Payload=b'{"name": "an event"}')
    request_id = answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
    print(f"accepted with {answer['StatusCode']}, request id {request_id}")
    deadline = time.monotonic() + 240
    logs = ["kubectl", "logs", "--selector", "kubelambda.dev/function=hello", "--tail=50", "--prefix=false"]
    while True:
        printed = subprocess.run(logs, check=False, text=True, capture_output=True).stdout
        found = [line for line in printed.splitlines() if request_id in line]
        if any(line.startswith("REPORT") for line in found):
            print("\n".join(found))
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"the event {request_id} did not run; the environments' log:\n{printed}")
        time.sleep(0.2)


def send_a_message() -> None:
    """A message in a queue of a server that speaks SQS: a mapping reads it, invokes the function, and deletes it."""
    account = Account("default", None)
    with aws_services.sqs(account) as queues:
        # The example looks for the queue where ElasticMQ would have it.
        ports = [{"port": 9324, "targetPort": aws_services.PORT}]
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "sqs"}}
        kubectl(
            "apply",
            "--filename",
            "-",
            stdin=json.dumps(service | {"spec": {"selector": {"app": "aws"}, "ports": ports}}),
        )
        url = queues.create_queue(QueueName="orders", Attributes={"VisibilityTimeout": "30"})["QueueUrl"]
        print(run("kubectl", "apply", "-f", str(EXAMPLES / "sqs.yaml")), end="")
        print(run("kubectl", "wait", "--for=condition=Polling", "eventsourcemapping/orders", "--timeout=180s"), end="")
        queues.send_message(QueueUrl=url, MessageBody='{"kind": "order", "total": 5}')
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
            left = queues.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            if all(left[name] == "0" for name in names):
                break
            time.sleep(0.2)
        else:
            raise SystemExit("the message is still in the queue: kubectl describe eventsourcemapping orders")
        logs = ["kubectl", "logs", "--selector", "kubelambda.dev/function=orders", "--tail=20", "--prefix=false"]
        printed = subprocess.run(logs, check=False, text=True, capture_output=True).stdout
        print("\n".join(line for line in printed.splitlines() if line.startswith(("START", "REPORT"))))
    run("kubectl", "delete", "-f", str(EXAMPLES / "sqs.yaml"), "--wait=false", "--ignore-not-found")
    run("kubectl", "delete", "pod/aws", "service/aws", "service/sqs", "--wait=false", "--ignore-not-found")


def layer_and_files() -> None:
    """A library out of a layer; and what one function writes to a volume, another reads in its own environment."""
    for example in ("layer.yaml", "files.yaml"):
        run("kubectl", "apply", "-f", str(EXAMPLES / example))
    functions = [f"function/{name}" for name in ("hello-layer", "write-file", "read-file")]
    run("kubectl", "wait", "--for=condition=Ready", *functions, "--timeout=180s")
    client = boto3.client("lambda", endpoint_url=ENDPOINT, config=Config(retries={"max_attempts": 0}))
    for name, event in (("hello-layer", {"name": "layer"}), ("write-file", {"text": "shared"}), ("read-file", {})):
        answer = client.invoke(FunctionName=name, Payload=json.dumps(event))
        print(f"{name}:", answer["Payload"].read().decode())


def follow_the_load() -> None:
    """A version behind an alias with a provisioned environment, and a load that makes the scaler add another."""
    begun = time.monotonic()
    print(run("kubectl", "apply", "-f", str(EXAMPLES / "versions.yaml")), end="")
    waiting = ("kubectl", "wait", "--for=condition=ProvisionedConcurrencyReady", "alias/greeter-live")
    print(run(*waiting, "--timeout=240s"), end="")
    print(run("kubectl", "get", "functionversions,aliases"), end="")
    client = boto3.client("lambda", endpoint_url=ENDPOINT, config=Config(retries={"max_attempts": 0}))
    answer = client.invoke(FunctionName="greeter:live", Payload=b"{}")
    print(f"greeter:live ran version {answer['ExecutedVersion']}: {answer['Payload'].read().decode()}")
    stop = threading.Event()

    def call() -> None:
        caller = boto3.client("lambda", endpoint_url=ENDPOINT, config=Config(retries={"max_attempts": 0}))
        while not stop.is_set():
            caller.invoke(FunctionName="greeter:live", Payload=b'{"seconds": 0.3}')

    callers = [threading.Thread(target=call) for _ in range(2)]
    for caller in callers:
        caller.start()
    try:
        print(scaled(deadline=time.monotonic() + 180))
        print(f"from the manifest to the added environment: {time.monotonic() - begun:.0f} s")
    finally:
        stop.set()
        for caller in callers:
            caller.join()
    run("kubectl", "delete", "-f", str(EXAMPLES / "versions.yaml"), "--wait=false", "--ignore-not-found")


def scaled(deadline: float) -> str:
    """The scaler's own words once it has added an environment."""
    show = ["kubectl", "get", "alias", "greeter-live", "--output", "jsonpath={.status.lastScalingActivity.cause}"]
    while True:
        cause = subprocess.run(show, check=True, text=True, capture_output=True).stdout
        if cause:
            return cause
        if time.monotonic() > deadline:
            raise SystemExit("the alias did not follow its load: kubectl describe alias greeter-live")
        time.sleep(0.5)


def main() -> None:
    """Runs the whole demonstration."""
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "none")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "none")
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    say("Apply a Function")
    apply_and_wait()
    say("Invoke it with the aws cli")
    invoke_with_aws_cli()
    say("Invoke it with boto3")
    invoke_with_boto3()
    say("Cold and warm")
    cold_start()
    say("An event")
    send_an_event()
    say("A message in a queue")
    send_a_message()
    say("A layer, and a file that two environments share")
    layer_and_files()
    say("Versions, an alias, and environments that follow the load")
    follow_the_load()
    say("The environments")
    print(run("kubectl", "get", "pods", "--label-columns", "kubelambda.dev/function,kubelambda.dev/pool"), end="")
    print(f"\nThe cluster stays up. KUBECONFIG={os.environ['KUBECONFIG']} ENDPOINT={ENDPOINT}")


if __name__ == "__main__":
    main()
