"""What one account may take of the operator's memory and workers with code and images."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from kubelambda.api.settings import Settings
from kubelambda.controllers.code import archive_facts, image_source
from kubelambda.controllers.code.code_state import CodeState, signature_errors
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.queues import Queues
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.core.code import archive
from kubelambda.core.code.code_signature import SIGNATURE_MAX_BYTES
from kubelambda.core.code.signed_content import signed_content, with_comment
from kubelambda.store.code.code_store import CodeStore

NOBODY = cast("Any", None)
ARCHIVE = archive.from_text("index.py", "x = 1")


class OneArchive(CodeStore):
    """Has it under every digest."""

    def __init__(self, archive: bytes = ARCHIVE) -> None:
        self.archive = archive
        self.read = 0

    async def pieces(self, sha256: str) -> AsyncIterator[bytes]:
        """All of it."""
        self.read += 1
        yield self.archive


async def test_signatures_of_so_many_archives_are_remembered() -> None:
    """Whoever deploys ever new archives with long comments fills no memory: old ones are read again."""
    store = OneArchive()
    state = CodeState(store, NOBODY)
    for number in range(archive_facts.CONTENTS_MAX + 3):
        await archive_facts.content_of(state, str(number))
    assert len(state.contents) == archive_facts.CONTENTS_MAX
    newest = str(archive_facts.CONTENTS_MAX + 2)
    assert "0" not in state.contents
    read = store.read
    await archive_facts.content_of(state, newest)
    assert store.read == read
    await archive_facts.content_of(state, "0")
    assert store.read == read + 1


@pytest.mark.parametrize(("size", "kept"), [(SIGNATURE_MAX_BYTES, True), (SIGNATURE_MAX_BYTES + 1, False)])
async def test_a_comment_that_is_too_long_for_a_signature_is_not_remembered(size: int, kept: bool) -> None:
    """It is none, and there may be thousands."""
    state = CodeState(OneArchive(with_comment(ARCHIVE, b"x" * size)), NOBODY)
    found = await archive_facts.content_of(state, "any")
    assert bool(found.comment) is kept
    assert found.sha256 == signed_content([ARCHIVE]).sha256


async def test_a_namespace_has_some_of_the_look_ups_and_no_more() -> None:
    """Registries that take their time keep those of other accounts waiting for nothing."""
    state = CodeState(NOBODY, NOBODY)
    found = (image_source.controller(state),)
    context = Context(NOBODY, Settings(), b"", found, Queues(found))
    keys = [Key(image_source.KIND, "a", str(number)) for number in range(image_source.PER_NAMESPACE + 1)]
    context.queues.of(image_source.KIND)._running.update(keys)
    assert await image_source.reconcile(state, context, keys[0]) == 1.0
    assert image_source.PER_NAMESPACE < image_source.WORKERS


def test_a_layer_that_goes_takes_no_count_of_a_function_with_it() -> None:
    """The two may have one name."""
    state = CodeState(NOBODY, NOBODY, signature_errors=signature_errors(registry := CollectorRegistry()))
    assert state.signature_errors is not None
    state.signature_errors.labels("a", "shared").inc()
    labels = {"namespace": "a", "function": "shared"}
    state.forget(Key("Layer", "a", "shared"))
    assert registry.get_sample_value("kubelambda_signature_validation_errors_total", labels) == 1.0
    state.forget(Key("Function", "a", "shared"))
    assert registry.get_sample_value("kubelambda_signature_validation_errors_total", labels) is None
