"""Services of AWS in a namespace: moto's server in a pod, reached by functions and pollers by name, and by tests."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from installation.account import Account
from installation.kubectl import kubectl
from installation.release import forwarded
from mapping.server_pod import server_manifests

PORT = 5000
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests"}
TELLING = """
import json, os, time, urllib.parse, urllib.request

WHO = "AWS4-HMAC-SHA256 Credential=tests/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=none"

def tell(what):
    form = {"Action": "SendMessage", "Version": "2012-11-05", "QueueUrl": os.environ["RESULTS"]}
    data = urllib.parse.urlencode({**form, "MessageBody": json.dumps(what)}).encode()
    request = urllib.request.Request(os.environ["ENDPOINT"], data, {"Authorization": WHO})
    urllib.request.urlopen(request, timeout=10).read()
"""
"""Code of functions that `tell` the queue RESULTS at ENDPOINT what they see."""


def endpoint_url(account: Account) -> str:
    """Where pods of the cluster find the services."""
    return f"http://aws.{account.namespace}.svc:{PORT}"


@contextmanager
def sqs(account: Account) -> Iterator[Any]:
    """boto3's client of the queues, and a Secret `aws` for mappings."""
    with aws(account) as client:
        yield client("sqs")


@contextmanager
def aws(account: Account) -> Iterator[Callable[[str], Any]]:
    """Makes boto3's clients of services by their names; and a Secret `aws` for mappings."""
    program = str(Path(__file__).parent.parent / "cluster")
    subprocess.run([sys.executable, program, "images", "--for-tests", "aws"], check=True, timeout=600)
    for manifest in _manifests():
        kubectl("--namespace", account.namespace, "apply", "--filename", "-", stdin=json.dumps(manifest))
    kubectl("--namespace", account.namespace, "wait", "--for=condition=Ready", "pod/aws", "--timeout=180s", timeout=210)
    with forwarded("aws", PORT, account.namespace) as url:
        config = Config(retries={"max_attempts": 3}, read_timeout=30)
        yield partial(boto3.client, endpoint_url=url, region_name="us-east-1", config=config)


def _manifests() -> list[dict[str, Any]]:
    # Names of Services have dots: moto would take the first part of one for a bucket.
    server = server_manifests("aws", {PORT}, entrance=PORT, environment={"S3_IGNORE_SUBDOMAIN_BUCKETNAME": "true"})
    return [*server, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "aws"}, "stringData": CREDENTIALS}]
