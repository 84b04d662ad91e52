"""What the control API reads of the installation's settings (§0.6)."""

import json
from pathlib import Path

import pytest

from kubelambda.awsapi import api_settings


@pytest.mark.parametrize(("replicas", "share"), [({}, 15.0), ({"replicas": 3}, 5.0), ({"replicas": 0}, 15.0)])
def test_each_replica_has_its_part_of_a_rate(tmp_path: Path, replicas: dict[str, int], share: float) -> None:
    """Together they take what an account may send; no limit stays none."""
    rates = {"others": 15, "getFunction": 0, **replicas}
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"controlApiRates": rates, "functionUrls": {"scheme": "https", "proxies": 1}}))
    found = api_settings.load(path)
    assert found.rate_limits == {"": share, "GetFunction": 0.0}
    assert (found.url_scheme, found.url_domain) == ("https", "lambda.internal")
