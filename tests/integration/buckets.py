"""Buckets as AWS has them: moto's server, which verifies signatures and policies, in an environment of its own."""

import base64
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PROGRAM = """
import base64, json, sys, urllib.request
import boto3
from botocore.config import Config
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="0.0.0.0", port=0, verbose=False)
server.start()
_, port = server.get_host_and_port()
url = f"http://127.0.0.1:{port}"


def client(service, key):
    config = Config(s3={"addressing_style": "path"}, proxies={})
    where = {"endpoint_url": url, "region_name": "us-east-1", "config": config}
    return boto3.client(service, aws_access_key_id=key[0], aws_secret_access_key=key[1], **where)


iam = client("iam", ("x", "x"))
keys = {}
for name, buckets in (("owner", ["code", "hidden", "versioned"]), ("reader", ["code", "versioned", "absent"])):
    iam.create_user(UserName=name)
    found = iam.create_access_key(UserName=name)["AccessKey"]
    keys[name] = (found["AccessKeyId"], found["SecretAccessKey"])
    resources = [f"arn:aws:s3:::{bucket}{part}" for bucket in buckets for part in ("", "/*")]
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": resources}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="buckets", PolicyDocument=policy)
s3 = client("s3", keys["owner"])
for bucket in ("code", "hidden", "versioned"):
    s3.create_bucket(Bucket=bucket)
s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
headers = {"Content-Type": "application/octet-stream"}  # from here on, everybody proves who they are
urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset-auth", b"0", headers)).read()
print(json.dumps({"url": url, "reader": keys["reader"]}), flush=True)
for line in sys.stdin:
    bucket, key, data = json.loads(line)
    answer = s3.put_object(Bucket=bucket, Key=key, Body=base64.b64decode(data))
    print(json.dumps(answer.get("VersionId")), flush=True)
"""


class Buckets:
    """`code`, `versioned` and, for the reader without a right to it, `hidden`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        found = self._line()
        self.url: str = found["url"]
        identifier, secret = found["reader"]
        self.keys = {"AWS_ACCESS_KEY_ID": identifier, "AWS_SECRET_ACCESS_KEY": secret}
        """Of the reader."""

    def put(self, bucket: str, key: str, data: bytes) -> str | None:
        """Puts an object; its version, where the bucket has those."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([bucket, key, base64.b64encode(data).decode()]) + "\n")
        self._process.stdin.flush()
        version: str | None = self._line()
        return version

    def secret(self, namespace: str, **changed: str) -> dict[str, Any]:
        """The Secret by which a namespace is the reader."""
        values = {"AWS_ENDPOINT_URL_S3": self.url, "AWS_REGION": "us-east-1", **self.keys, **changed}
        metadata = {"name": "kubelambda-s3", "namespace": namespace}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}

    def _line(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "moto's server ended"
        return json.loads(line)


@contextmanager
def serving_buckets() -> Iterator[Buckets]:
    """Until the end of the block."""
    command = [str(ROOT / ".venv-pollers" / "bin" / "python"), "-c", PROGRAM]
    environment = {"PATH": "/usr/bin:/bin", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        try:
            yield Buckets(process)
        finally:
            process.kill()
