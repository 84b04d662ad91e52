"""What the control API reads of the installation's settings (§0.6)."""

import json
from pathlib import Path

from kubelambda.awsapi import api_settings


def test_a_replica_has_the_whole_of_a_rate(tmp_path: Path) -> None:
    """Every call of an account comes to the same one; no limit stays none."""
    rates = {"others": 15, "getFunction": 0}
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"controlApiRates": rates, "functionUrls": {"scheme": "https", "proxies": 1}}))
    found = api_settings.load(path)
    assert found.rate_limits == {"": 15.0, "GetFunction": 0.0}
    assert (found.url_scheme, found.url_domain) == ("https", "lambda.internal")
