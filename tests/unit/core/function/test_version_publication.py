"""What publishing gives (§1.5.1)."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kubelambda.api.kinds.deployed_configuration import DeployedCode
from kubelambda.api.kinds.function import FunctionSpec, FunctionStatus, LastUpdateStatus, Publication
from kubelambda.api.kinds.function_code import Code
from kubelambda.api.kinds.function_version import FunctionVersionSpec
from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.api.reasons import Reason
from kubelambda.core.account.reserved_concurrency import Grant
from kubelambda.core.function.function_status import decide
from kubelambda.core.function.observation import Observation, Problem
from kubelambda.core.function.version_publication import (
    NewVersion,
    SameVersion,
    fingerprint,
    publish,
    refreshed,
    retired,
)

RUNTIME = RuntimeSpec(image="python:1", inline_file_name="index.py")
OBSERVED = Observation(
    name="hello",
    generation=1,
    arn="arn:aws:lambda:us-east-1:123456789012:function:hello",
    before=FunctionStatus(),
    grant=Grant(None),
    spec=FunctionSpec(runtime="python3.13", handler="index.handler", code=Code(inline="x = 1")),
    runtime=RUNTIME,
    code=DeployedCode(sha256="ab" * 32, size=121),
)
FUNCTION = decide(OBSERVED, datetime(2026, 1, 1, tzinfo=UTC))
ASKED = FunctionVersionSpec(function_name="hello")
assert FUNCTION.deployed is not None
LAST = Publication(version=4, fingerprint=fingerprint(FUNCTION.deployed))


def after(last: Publication | None) -> FunctionStatus:
    """The function with a last published version."""
    return FUNCTION.model_copy(update={"last_published": last})


def test_the_first_version_is_one() -> None:
    """Its snapshot names it."""
    found = publish(ASKED, FUNCTION, generation=1, numbers={})
    assert isinstance(found, NewVersion)
    assert (found.number, found.deployed.version) == (1, "1")


def test_a_change_is_the_next_number() -> None:
    """Also when the versions before are gone."""
    last = Publication(version=4, fingerprint="0" * 16)
    for numbers in ({}, {4: "hello-4"}, {1: "hello-1"}):
        found = publish(ASKED, after(last), generation=1, numbers=numbers)
        assert isinstance(found, NewVersion)
        assert found.number == 5


def test_no_change_is_the_last_version() -> None:
    """As long as that is there."""
    assert publish(ASKED, after(LAST), generation=1, numbers={4: "hello-4"}) == SameVersion(4)
    found = publish(ASKED, after(LAST), generation=1, numbers={3: "hello-3"})
    assert isinstance(found, NewVersion)
    assert found.number == 5


@pytest.mark.parametrize(
    ("function", "generation", "numbers", "reason"),
    [
        (FUNCTION, 2, {}, Reason.IN_PROGRESS),
        (FUNCTION.model_copy(update={"deployed": None}), 1, {}, Reason.IN_PROGRESS),
        (FUNCTION.model_copy(update={"last_update_status": LastUpdateStatus.IN_PROGRESS}), 1, {}, Reason.IN_PROGRESS),
        (FUNCTION.model_copy(update={"last_update_status": LastUpdateStatus.FAILED}), 1, {}, Reason.FUNCTION_FAILED),
        (after(LAST), 1, {5: "hello-5"}, Reason.IN_PROGRESS),
    ],
    ids=["not looked at", "never deployed", "updating", "failed", "not written down"],
)
def test_what_is_not_settled_is_not_published(
    function: FunctionStatus, generation: int, numbers: dict[int, str], reason: Reason
) -> None:
    """It waits, and says for what."""
    found = publish(ASKED, function, generation=generation, numbers=numbers)
    assert isinstance(found, Problem)
    assert (found.reason, found.terminal) == (reason, False)


def test_a_new_image_is_a_new_revision_and_no_new_version() -> None:
    """Environments are replaced; people changed nothing."""
    other = decide(replace(OBSERVED, runtime=RUNTIME.model_copy(update={"image": "python:2"})), datetime.now(UTC))
    assert FUNCTION.deployed is not None
    assert other.deployed is not None
    assert fingerprint(FUNCTION.deployed) == fingerprint(other.deployed)
    first, second = (refreshed(FUNCTION.deployed, RUNTIME.model_copy(update={"image": i})) for i in ("a", "b"))
    assert first.revision != second.revision
    assert refreshed(second, RUNTIME.model_copy(update={"image": "a"})) == first


def test_retention_keeps_the_newest_and_the_used() -> None:
    """Nothing goes where nothing is said."""
    numbers = {number: f"hello-{number}" for number in (10, 9, 2, 1)}
    assert retired(numbers, keep=None, used=set()) == []
    assert retired(numbers, keep=2, used={1}) == ["hello-2"]
    assert retired(numbers, keep=9, used=set()) == []
