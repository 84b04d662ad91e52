"""The alerts on provisioned concurrency, as Prometheus's own tool evaluates them over half an hour of series."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

RULES = Path(__file__).parent.parent.parent.parent / "charts" / "kubelambda" / "files" / "rules.yaml"
ALIAS = 'namespace="team",function="f",qualifier="live"'
ALLOCATED = f'kubelambda_provisioned_concurrency_allocated{{{ALIAS},instance="INSTANCE"}}'
AVAILABLE = f'kubelambda_provisioned_concurrency_available{{{ALIAS},instance="INSTANCE"}}'
SPILLED = f'kubelambda_spillover_invocations_total{{{ALIAS},version="VERSION"}}'
PROVISIONED = f'kubelambda_provisioned_invocations_total{{{ALIAS},version="VERSION"}}'
ACTIVE = f"kubelambda_scaling_active{{{ALIAS}}}"
FAILED = f"kubelambda_provisioned_concurrency_failed{{{ALIAS}}}"


def versions(series: str, *values: str) -> dict[str, str]:
    """What is counted is by the version that ran."""
    return {series.replace("VERSION", str(number)): each for number, each in enumerate(values, 1)}


@pytest.mark.parametrize(
    ("series", "alert"),
    [
        ({**versions(SPILLED, "0+12x40"), **versions(PROVISIONED, "0+88x40")}, "KubelambdaSpillover"),
        (
            {**versions(SPILLED, "0+8x40", "0+8x40"), **versions(PROVISIONED, "0+84x40", "0+0x40")},
            "KubelambdaSpillover",
        ),
        ({**versions(SPILLED, "0+8x40"), **versions(PROVISIONED, "0+92x40")}, ""),
        ({**versions(SPILLED, "0+12x9 108+0x31"), **versions(PROVISIONED, "0+88x40")}, ""),
        ({**versions(SPILLED, "0x40"), **versions(PROVISIONED, "0x40")}, ""),
        ({ACTIVE: "1x5 0x35"}, "KubelambdaScalingFrozen"),
        ({ACTIVE: "1x20 0x2 1x20"}, ""),
        ({FAILED: "0x5 1x35"}, "KubelambdaProvisioningFailed"),
        ({FAILED: "0x40"}, ""),
        ({ALLOCATED: "3x40", AVAILABLE: "2x40"}, "KubelambdaProvisionedEnvironmentsMissing"),
        ({ALLOCATED: "3x40", AVAILABLE: "3x20 2x3 3x20"}, ""),
        (
            {
                ALLOCATED.replace("INSTANCE", "before"): "3x10 stale",
                AVAILABLE.replace("INSTANCE", "before"): "1x10 stale",
                ALLOCATED: "_x10 3x30",
                AVAILABLE: "_x10 3x30",
            },
            "",
        ),
    ],
)
def test_alerts_fire_when_somebody_has_to_look(series: dict[str, str], alert: str, tmp_path: Path) -> None:
    """Not for what is over after some minutes, nor for what is as it should be."""
    tool = shutil.which("promtool")
    assert tool, "install Debian's package prometheus, or run `make test-binaries`"
    firing = f'ALERTS{{alertname="{alert}",alertstate="firing",severity="warning",{ALIAS}}}'
    expected = [{"labels": firing, "value": 1}] if alert else []
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": 'ALERTS{alertstate="firing"}', "eval_time": "30m", "exp_samples": expected}],
    }
    path = tmp_path / "test.json"
    path.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [case]}))
    finished = subprocess.run([tool, "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
