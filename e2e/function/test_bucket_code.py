"""Code out of buckets on the real cluster: the example with a bucket in a pod, by the code fetcher's own rights."""

from pathlib import Path

import pytest

from installation.account import Account
from installation.archives import zipped
from installation.kubectl import eventually, kubectl
from mapping.aws_services import CREDENTIALS, aws, endpoint_url

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "s3.yaml"
HANDLER = "import tools\n\ndef handler(event, context):\n    return tools.answer + {}\n"


def test_the_example_runs_and_the_control_api_takes_what_is_there_now(account: Account) -> None:
    """`examples/s3.yaml`: a function and a layer; then another archive under the same key, by update-function-code."""
    with aws(account) as client:
        s3 = client("s3")
        s3.create_bucket(Bucket="builds")
        s3.put_object(Bucket="builds", Key="layers/tools.zip", Body=zipped({"python/tools.py": "answer = 40"}))
        key = "functions/from-bucket.zip"
        s3.put_object(Bucket="builds", Key=key, Body=zipped({"index.py": HANDLER.format(2)}))
        example = EXAMPLE.read_text().replace("http://minio.storage.svc:9000", endpoint_url(account))
        for name, ours in (("AKIDEXAMPLE", "AWS_ACCESS_KEY_ID"), ("change-me", "AWS_SECRET_ACCESS_KEY")):
            example = example.replace(name, CREDENTIALS[ours])
        kubectl("--namespace", account.namespace, "apply", "--filename", "-", stdin=example)
        account.wait_ready("from-bucket", timeout=120)
        assert account.invoke("from-bucket")["Payload"] == 42
        account.client.create_function(
            FunctionName=account.arn("by-api"),
            Role="arn:aws:iam::123456789012:role/lambda",
            Runtime="python3.13",
            Handler="index.handler",
            Timeout=30,
            Code={"S3Bucket": "builds", "S3Key": key},
            Layers=[f"arn:aws:lambda:us-east-1:{account.account_id}:layer:tools:1"],
        )
        account.wait_ready("by-api")
        assert account.invoke("by-api")["Payload"] == 42
        s3.put_object(Bucket="builds", Key=key, Body=zipped({"index.py": HANDLER.format(3)}))
        account.client.update_function_code(FunctionName=account.arn("by-api"), S3Bucket="builds", S3Key=key)
        eventually(lambda: account.invoke("by-api")["Payload"] == 43)
        with pytest.raises(account.client.exceptions.InvalidParameterValueException, match="S3 Error Code: NoSuchKey"):
            account.client.update_function_code(FunctionName=account.arn("by-api"), S3Bucket="builds", S3Key="absent")
