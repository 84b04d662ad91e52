"""How often an account may call the control API (§0.6)."""

from collections.abc import Iterator

import pytest
from tests.integration.control_api.control_api import DOMAIN, Api
from tests.integration.control_plane import SYSTEM_NAMESPACE, ControlPlane
from tests.integration.processes import Installation


@pytest.fixture
def limited(tmp_path_factory: pytest.TempPathFactory, control_plane: ControlPlane) -> Iterator[str]:
    """The address of a control API that takes a call of each kind every hundred seconds, and GetFunction more often."""
    rates = {"others": 0.01, "getFunction": 3, "getPolicy": 0.01}
    folder = tmp_path_factory.mktemp("limited")
    found = Installation(folder, control_plane, SYSTEM_NAMESPACE, endpointDomain=DOMAIN, controlApiRates=rates)
    _, address = found.control_api()
    yield address
    found.stop()


def test_what_exceeds_the_rate_is_lambdas_throttle(limited: str) -> None:
    """429 with its reason, by account; GetFunction and GetPolicy are counted apart."""
    api = Api(limited, "default", "")
    assert api.function("GET", "f", "/policy").status == 404
    refused = api.function("GET", "f", "/policy")
    assert (refused.status, refused.error) == (429, "TooManyRequestsException")
    assert refused.body["Reason"] == "CallerRateLimitExceeded"
    assert refused.text == "Rate Exceeded."
    assert refused.headers["retry-after"] == "1"
    assert api.function("GET", "f").status == 404
    answers = [api.call("GET", "/2015-03-31/functions").status for _ in range(40)]
    assert answers[0] == 200
    assert 429 in answers
    assert Api(limited, "kube-system", "").function("GET", "f", "/policy").status == 404
