"""What the control API looks at before it deploys (§1.5.4)."""

from typing import Any

from kubelambda.awsapi.signing.signature_check import _deployed
from kubelambda.core.code.code_trust import DeployedArchives


def test_code_and_layers_are_known_apart() -> None:
    """A layer that becomes the code is new: its signature may never have been asked for."""
    deployed = {"code": {"sha256": "c"}, "layers": [{"sha256": "l"}, {"sha256": "m"}]}
    assert _deployed({"status": {"deployed": deployed}}) == DeployedArchives("c", ["l", "m"])


def test_what_was_never_deployed_has_neither() -> None:
    """A function that comes, or whose first code is refused."""
    bodies: list[dict[str, Any] | None] = [None, {}, {"status": None}, {"status": {"deployed": {}}}]
    for body in bodies:
        assert _deployed(body) == DeployedArchives(None, [])
