"""What a Layer publishes, and what it says of it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from kubelambda.api.kinds.layer import LayerContent, LayerSpec, LayerStatus, LayerVersionContent
from kubelambda.api.reasons import Reason
from kubelambda.core.code.layer_publication import LayerObservation, decide_layer, new_layer_version
from kubelambda.core.function.observation import Problem

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def content(digest: str = "ab") -> LayerVersionContent:
    """An archive in the store."""
    return LayerVersionContent(sha256=digest * 32, size=10, unzipped_size=20, signature="cd" * 32)


def observed(
    before: LayerStatus | None = None,
    *,
    found: LayerVersionContent | Problem | None = None,
    numbers: frozenset[int] = frozenset(),
    **spec: Any,
) -> LayerObservation:
    """A Layer whose archive is there unless the case says otherwise."""
    given = LayerSpec(content=LayerContent(url="https://a/b.zip", sha256="ab" * 32), **spec)
    return LayerObservation("l", 3, "us-east-1", "1" * 12, before or LayerStatus(), given, found, numbers)


def published(**spec: Any) -> LayerStatus:
    """The status after the first version."""
    first = observed(found=content(), **spec)
    version = new_layer_version(first)
    assert version is not None
    return decide_layer(first, version.version, NOW)


def test_the_first_version_is_number_one() -> None:
    """And the status names it."""
    status = published()
    assert status.latest_version == 1
    assert status.latest_version_arn == "arn:aws:lambda:us-east-1:111111111111:layer:l:1"
    assert status.conditions[0].reason == Reason.PUBLISHED


def test_the_same_again_publishes_nothing() -> None:
    """Also when the version was deleted: whoever did that wants it gone."""
    assert new_layer_version(observed(published(), found=content())) is None


@pytest.mark.parametrize("change", [{"description": "new"}, {"compatible_runtimes": ["python3.13"]}])
def test_what_makes_another_version_is_published(change: dict[str, Any]) -> None:
    """All that a version says of itself."""
    version = new_layer_version(observed(published(), found=content(), **change))
    assert version is not None
    assert version.version == 2


def test_no_number_is_used_twice() -> None:
    """Neither that of a version which the status does not know yet, nor of one that is gone."""
    known = new_layer_version(observed(published(), found=content("ef"), numbers=frozenset({1, 2})))
    gone = new_layer_version(observed(LayerStatus(latest_version=7), found=content()))
    assert known is not None
    assert gone is not None
    assert (known.version, gone.version) == (3, 8)


def test_an_archive_that_is_fetched_or_broken_publishes_nothing() -> None:
    """What was published stays the latest."""
    broken = Problem(Reason.INVALID_CODE, "no archive", terminal=True)
    for found, kind in ((None, "Reconciling"), (broken, "Stalled")):
        case = observed(published(), found=found)
        assert new_layer_version(case) is None
        status = decide_layer(case, None, NOW)
        assert status.latest_version == 1
        assert [each.type for each in status.conditions] == ["Ready", kind]


def test_another_revision_publishes_the_same_again() -> None:
    """As PublishLayerVersion does; the version says which revision it is."""
    version = new_layer_version(observed(published(revision="one"), found=content(), revision="two"))
    assert version is not None
    assert (version.version, version.revision) == (2, "two")


def test_a_policy_publishes_nothing() -> None:
    """Permissions are about versions, and no part of one."""
    permission = {"version": 1, "statementId": "s", "principal": "*"}
    assert new_layer_version(observed(published(), found=content(), permissions=[permission])) is None
