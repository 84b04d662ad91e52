"""Version 2 of the aws cli, unmodified, against a real API server, operator and code store.

Version 1 is run by the tests of the cluster, on the page that tells about both.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.integration.control_api.control_api import HELLO, ROLE, Api

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubelambda" / "aws-cli-2"
AWS = CACHE / "usr" / "bin" / "aws"

pytestmark = pytest.mark.skipif(
    not AWS.exists(), reason="NOT TRIED: version 2 of the aws cli is not here; `make aws-cli` unpacks Debian's"
)
CALLS = """
aws lambda create-function --function-name "$ARN" --runtime python3.13 --handler index.handler --role "$ROLE" \
  --zip-file fileb://code.zip --environment 'Variables={STAGE=live}'
aws lambda wait function-active-v2 --function-name "$ARN"
aws lambda update-function-configuration --function-name "$ARN" --memory-size 256
! aws lambda get-function --function-name "$ARN-missing"
aws lambda list-functions --max-items 1
aws lambda delete-function --function-name "$ARN"
"""


@pytest.mark.timeout(900)  # each call is a start of Python that reads all of AWS's models
def test_the_main_calls_of_version_2(api: Api, tmp_path: Path) -> None:
    """A function from its making to its end, with waiters and a paginator; what is wrong is said as Lambda says it."""
    (tmp_path / "code.zip").write_bytes(HELLO)
    python = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else shutil.which("python3")
    # A release before 2.13, as Debian 12's, knows no variable for the endpoint.
    aws = f'aws() {{ {python} {AWS} --endpoint-url "$ENDPOINT" --no-cli-pager --output json "$@"; }}\n'
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(CACHE / "usr" / "lib" / "python3" / "dist-packages"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NO_PROXY": "127.0.0.1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "ENDPOINT": api.address,
        "ARN": api.arn("by-cli"),
        "ROLE": ROLE,
    }
    command = ["bash", "-euo", "pipefail", "-c", aws + CALLS]
    finished = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert finished.returncode == 0, finished.stderr
    decoder, printed, rest = json.JSONDecoder(), [], finished.stdout.strip()
    while rest:
        found, end = decoder.raw_decode(rest)
        printed.append(found)
        rest = rest[end:].lstrip()
    created, changed, listed = printed
    assert (created["FunctionArn"], created["State"]) == (api.arn("by-cli"), "Pending")
    assert (changed["MemorySize"], changed["Environment"]) == (256, {"Variables": {"STAGE": "live"}})
    assert "Functions" in listed
    assert "An error occurred (ResourceNotFoundException) when calling the GetFunction operation" in finished.stderr
    assert api.function("GET", "by-cli").status == 404
