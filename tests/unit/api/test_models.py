"""The models read what the API server gives, and say precisely what is wrong."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from kubelambda.api import settings
from kubelambda.api.kinds.deployed_configuration import DeployedConfiguration
from kubelambda.api.kinds.function import FunctionSpec, FunctionStatus
from kubelambda.api.settings import Settings

MINIMAL = {"runtime": "python3.13", "handler": "index.handler", "code": {"inline": "x = 1"}}


def test_defaults_are_those_of_lambda() -> None:
    """128 MB, 3 s, 512 MB of /tmp."""
    spec = FunctionSpec.model_validate(MINIMAL)
    assert (spec.memory_size, spec.timeout, spec.ephemeral_storage.size) == (128, 3, 512)


def test_a_spec_reads_back_as_it_was_written() -> None:
    """`from` is a keyword of Python and a field of ours."""
    source = {"name": "TOKEN", "secretKeyRef": {"name": "api", "key": "token", "optional": False}}
    spec = FunctionSpec.model_validate(MINIMAL | {"environment": {"variables": {"AB": "x"}, "from": [source]}})
    written = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert written["environment"] == {"variables": {"AB": "x"}, "from": [source]}
    assert FunctionSpec.model_validate(written) == spec


@pytest.mark.parametrize("field", [{"memory": 128}, {"memorySize": 127}, {"timeout": "three"}, {"code": None}])
def test_what_the_schema_refuses_the_model_refuses(field: dict[str, object]) -> None:
    """Also where somebody disabled the schema."""
    with pytest.raises(ValidationError):
        FunctionSpec.model_validate(MINIMAL | field)


def test_a_status_of_a_later_release_can_be_read() -> None:
    """What we do not know is left alone; after a roll-back the operator must not stop."""
    later = {"state": "Active", "snapshots": 3, "deployed": None, "conditions": []}
    assert FunctionStatus.model_validate(later, extra="ignore").state == "Active"


def test_frontends_read_snapshots_of_a_later_release() -> None:
    """While a release rolls out, old frontends meet what new operators write."""
    snapshot = {
        "revision": "0" * 16,
        "runtime": "python3.13",
        "handler": "index.handler",
        "code": {"sha256": "0" * 64, "size": 1, "signature": "new"},
        "memorySize": 128,
        "timeout": 3,
        "logGroup": "/aws/lambda/hello",
        "something": ["new"],
    }
    assert DeployedConfiguration.model_validate(snapshot).handler == "index.handler"


def test_models_cannot_be_changed() -> None:
    """A decision never alters what it observed."""
    spec = FunctionSpec.model_validate(MINIMAL)
    with pytest.raises(ValidationError):
        spec.timeout = 4  # type: ignore[misc]


def test_settings_come_from_a_file(tmp_path: Path) -> None:
    """What is left out has a default."""
    path = tmp_path / "settings.json"
    path.write_text('{"region": "eu-central-1", "environments": {"memoryOverheadMb": 1}}')
    found = settings.load(path)
    assert (found.region, found.environments.memory_overhead_mb) == ("eu-central-1", 1)
    assert found.account_concurrency == Settings().account_concurrency


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    """At start, not when it is first used."""
    path = tmp_path / "settings.json"
    path.write_text('{"accountConcurrency": 0, "regoin": "x"}')
    with pytest.raises(ValidationError) as raised:
        settings.load(path)
    assert {error["loc"][0] for error in raised.value.errors()} == {"accountConcurrency", "regoin"}
