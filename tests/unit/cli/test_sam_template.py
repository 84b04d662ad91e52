"""SAM templates as manifests, without deploying anything."""

import base64
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from kubelambda.cli.main import app

EXAMPLE = Path(__file__).parent.parent.parent.parent / "examples" / "sam" / "template.yaml"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:orders"


def imported(template: Path, folder: Path, *arguments: str) -> tuple[dict[tuple[str, str], dict[str, Any]], str]:
    """The manifests by kind and name, and what was said on the way."""
    command = ["import", "sam", str(template), "--output", str(folder), *arguments]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    found = [each for path in folder.glob("*.yaml") for each in yaml.safe_load_all(path.read_text())]
    return {(each["kind"], each["metadata"]["name"]): each["spec"] for each in found}, result.output


def test_the_example_becomes_manifests(tmp_path: Path) -> None:
    """Functions with their globals, a layer, an alias of the code, and the mapping of a queue."""
    found, said = imported(EXAMPLE, tmp_path, "--parameter", f"Orders.Arn={QUEUE}", "--parameter", "Stage=live")
    assert {kind for kind, _ in found} == {"Function", "Layer", "Alias", "EventSourceMapping"}
    function = found["Function", "take-order-live"]
    archive = zipfile.ZipFile(io.BytesIO(base64.b64decode(function["code"].pop("zipFile"))))
    assert archive.namelist() == ["orders.py"]
    assert function == {
        "runtime": "python3.13",
        "handler": "orders.handler",
        "timeout": 10,
        "memorySize": 256,
        "environment": {"variables": {"STAGE": "live", "WHO": "you"}},
        "layers": ["greetings:1"],
        "tags": {"team": "shop"},
        "eventInvokeConfig": {"maximumRetryAttempts": 1},
        "publish": True,
        "code": {},
    }
    assert found["Alias", "take-order-live-live"]["name"] == "live"
    [mapping] = [spec for (kind, _), spec in found.items() if kind == "EventSourceMapping"]
    assert mapping == {
        "functionName": "take-order-live",
        "eventSourceArn": QUEUE,
        "batchSize": 5,
        "functionResponseTypes": ["ReportBatchItemFailures"],
    }
    assert found["Layer", "greetings"]["compatibleRuntimes"] == ["python3.13"]
    clock = next(spec for (kind, name), spec in found.items() if kind == "Function" and "clock" in name)
    assert clock["functionName"] == "Clock"
    assert "its event Site of type HttpApi is none of a mapping and was left out" in said
    assert "left out: Orders (AWS::SQS::Queue)" in said


def test_what_only_a_deployment_knows_is_asked_for(tmp_path: Path) -> None:
    """By name, so that it can be given."""
    result = CliRunner().invoke(app, ["import", "sam", str(EXAMPLE), "--output", str(tmp_path)])
    assert result.exit_code == 1
    assert "give --parameter Orders.Arn=" in result.output


@pytest.mark.parametrize(
    ("property_", "field"),
    [
        ("Tracing: Active", "tracingConfig"),
        ("KmsKeyArn: key", "KmsKeyArn"),
        ("Architectures: [arm64]", "architectures"),
    ],
)
def test_what_is_not_served_is_left_out_and_said(tmp_path: Path, property_: str, field: str) -> None:
    """A manifest with it would be refused, or be another function than people think."""
    template = tmp_path / "template.yaml"
    template.write_text(
        "Resources:\n  One:\n    Type: AWS::Serverless::Function\n    Properties:\n      FunctionName: one\n"
        f"      Runtime: python3.13\n      Handler: index.handler\n      InlineCode: x = 1\n      {property_}\n"
    )
    found, said = imported(template, tmp_path / "out")
    assert field not in found["Function", "one"]
    assert f"Function one: {field} is not served and was left out" in said


def test_code_that_no_object_can_carry_needs_an_address(tmp_path: Path) -> None:
    """With one, the archive is written beside the manifest, which names it by address and digest."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "data").write_bytes(bytes(range(256)) * 4000 + b"".join(n.to_bytes(4) for n in range(300_000)))
    template = tmp_path / "template.yaml"
    template.write_text(
        "Resources:\n  One:\n    Type: AWS::Serverless::Function\n    Properties:\n      FunctionName: one\n"
        "      Runtime: python3.13\n      Handler: index.handler\n      CodeUri: code\n"
    )
    command = ["import", "sam", str(template), "--output", str(tmp_path / "out")]
    refused = CliRunner().invoke(app, command)
    if refused.exit_code:
        assert "give --code-url" in refused.output
    found, _ = imported(template, tmp_path / "out", "--code-url", "https://files.example/code/")
    assert found["Function", "one"]["code"]["url"] == "https://files.example/code/one.zip"
    assert zipfile.is_zipfile(tmp_path / "out" / "one.zip")
