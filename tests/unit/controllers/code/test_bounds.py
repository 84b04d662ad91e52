"""What one account may take of the operator's memory and workers with code and images."""

import hashlib
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
from kubelambda.store.code.code_store import CodeStore, CodeStoreUnavailable

NOBODY = cast("Any", None)


class Archives(CodeStore):
    """Has some, and counts how often one is read."""

    def __init__(self) -> None:
        self.archives: dict[str, bytes] = {}
        self.read = 0

    def add(self, data: bytes) -> str:
        """Its digest."""
        digest = hashlib.sha256(data).hexdigest()
        self.archives[digest] = data
        return digest

    async def pieces(self, sha256: str) -> AsyncIterator[bytes]:
        """All of one."""
        self.read += 1
        yield self.archives[sha256]


async def test_signatures_of_so_many_archives_are_remembered() -> None:
    """Whoever deploys ever new archives fills no memory: old ones are read again."""
    store, plain = Archives(), archive.from_text("index.py", "x = 1")
    state = CodeState(store, NOBODY)
    digests = [store.add(with_comment(plain, b"%d" % number)) for number in range(archive_facts.CONTENTS_MAX + 3)]
    for digest in digests:
        await archive_facts.content_of(state, digest)
    assert len(state.contents) == archive_facts.CONTENTS_MAX
    read = store.read
    await archive_facts.content_of(state, digests[-1])
    assert store.read == read
    assert (await archive_facts.content_of(state, digests[0])).comment == b"0"
    assert store.read == read + 1


@pytest.mark.parametrize(("size", "kept"), [(SIGNATURE_MAX_BYTES, True), (SIGNATURE_MAX_BYTES + 1, False)])
async def test_a_comment_that_is_too_long_for_a_signature_is_not_remembered(size: int, kept: bool) -> None:
    """It is none, and there may be thousands."""
    store, plain = Archives(), archive.from_text("index.py", "x = 1")
    digest = store.add(with_comment(plain, b"x" * size))
    found = await archive_facts.content_of(CodeState(store, NOBODY), digest)
    assert bool(found.comment) is kept
    assert found.sha256 == signed_content([plain]).sha256


async def test_what_the_code_store_has_under_another_name_is_nothing() -> None:
    """Else a store could show a signed archive to us, and hand the named one out."""
    store = Archives()
    store.archives["0" * 64] = archive.from_text("index.py", "x = 1")
    state = CodeState(store, NOBODY)
    with pytest.raises(CodeStoreUnavailable, match="something else under 0000"):
        await archive_facts.content_of(state, "0" * 64)
    assert state.contents == {}


async def test_a_namespace_has_some_of_the_look_ups_and_no_more() -> None:
    """Registries that take their time keep those of other accounts waiting for nothing."""
    state = CodeState(NOBODY, NOBODY)
    found = image_source.controllers(state)
    context = Context(NOBODY, Settings(), b"", found, Queues(found))
    for kind, ask in (
        (image_source.KIND, image_source.reconcile),
        (image_source.VERSION_KIND, image_source.reconcile_version),
    ):
        keys = [Key(kind, "a", str(number)) for number in range(image_source.PER_NAMESPACE + 1)]
        context.queues.of(kind)._running.update(keys)
        assert await ask(state, context, keys[0]) == 1.0
    assert image_source.PER_NAMESPACE < image_source.WORKERS
    assert image_source.PER_NAMESPACE < image_source.VERSION_WORKERS


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
