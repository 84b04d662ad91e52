"""What is collected in the code store, and what is not though it was to be: somebody names it in that moment."""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import pytest
from tests.unit.controllers.clusters import context_of

from kubelambda.api.kinds.deployed_configuration import DeployedCode
from kubelambda.api.kinds.function_code import Code
from kubelambda.controllers.code import code_collection, code_source
from kubelambda.controllers.code.code_state import CodeState
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS
from kubelambda.controllers.function.version_facts import WATCHED_VERSIONS
from kubelambda.controllers.layer.layer_facts import WATCHED_LAYER_VERSIONS
from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.core.function.observation import Problem

FIRST, SECOND, SIGNATURE = "1" * 64, "2" * 64, "f" * 64
KEY = Key("Function", "a", "one")


class Store:
    """Archives by digest, and what happens while it is asked."""

    def __init__(self, *digests: str) -> None:
        self.archives = set(digests)
        self.renewed: set[str] = set()
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def digests(self) -> list[str]:
        """All of them."""
        found = sorted(self.archives)
        await self._meanwhile()
        return found

    async def delete(self, sha256: str, *, unused_s: int) -> bool:
        """Unless it was renewed."""
        assert unused_s == 900
        if sha256 in self.renewed:
            return False
        self.archives.discard(sha256)
        await self._meanwhile()
        return True

    async def renew(self, sha256: str) -> bool:
        """It is used."""
        self.renewed.add(sha256)
        return sha256 in self.archives

    async def size(self, sha256: str) -> int | None:
        """One byte; when that is known, what was to be deleted is deleted."""
        found = 1 if sha256 in self.archives else None
        await self.delete(sha256, unused_s=900)
        return found

    def upload_signature(self, *_: str) -> str:
        """Of everybody."""
        return SIGNATURE

    async def _meanwhile(self) -> None:
        if self.meanwhile is not None:
            await self.meanwhile()


def uploaded(sha256: str) -> dict[str, Any]:
    """A Function whose code came by the control API."""
    metadata = {"name": "one", "namespace": "a", "uid": "u", "resourceVersion": "1", "generation": 1}
    metadata["creationTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": metadata, "spec": {"code": {"stored": {"sha256": sha256, "size": 1, "signature": SIGNATURE}}}}


def deployed(part: str, sha256: str) -> dict[str, Any]:
    """A Function or one of its versions, with an archive as its code or as a layer."""
    archives = {"code": {"sha256": sha256}, "layers": [{"sha256": sha256, "arn": "l:1"}]}
    status = {"version": "1", "deployed": {"runtime": "python3.13", part: archives[part]}}
    return uploaded("3" * 64) | {"status": status, "spec": {"functionName": "one"}}


def published(sha256: str) -> dict[str, Any]:
    """A LayerVersion."""
    content = {"sha256": sha256, "size": 1, "unzippedSize": 1, "signature": SIGNATURE}
    return uploaded(sha256) | {"spec": {"layerName": "l", "version": 1, "content": content}}


def prepared(store: Store) -> tuple[CodeState, Context]:
    """What the collection works with; nobody has named what is in the store for a long time."""
    nobody = cast("Any", None)
    code = CodeState(cast("Any", store), nobody)
    context = context_of(code=code)
    long_ago = time.monotonic() - 10_000
    code.unreferenced.update(dict.fromkeys(store.archives, long_ago))
    return code, context


async def test_what_nobody_named_for_long_is_collected() -> None:
    """And nothing that somebody names."""
    store = Store(FIRST, SECOND)
    code, context = prepared(store)
    await changes.observe(context, WATCHED_FUNCTIONS, uploaded(SECOND))
    await code_collection.reconcile(code, context, code_collection.KEY)
    assert store.archives == {SECOND}


async def test_all_that_is_deployed_is_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many archives go: each would take a look through every function and version that there is."""
    store = Store(*(f"{number:064d}" for number in range(50)))
    code, context = prepared(store)
    looks, wanted_archives = 0, code_collection.wanted_archives

    def counted(found: Context) -> dict[str, Key]:
        nonlocal looks
        looks += 1
        return wanted_archives(found)

    monkeypatch.setattr(code_collection, "wanted_archives", counted)
    await code_collection.reconcile(code, context, code_collection.KEY)
    assert not store.archives
    assert looks == 1


async def test_what_is_named_while_the_store_is_read_stays() -> None:
    """Its Function was not there when the look began."""
    store = Store(FIRST)
    code, context = prepared(store)
    store.meanwhile = lambda: changes.observe(context, WATCHED_FUNCTIONS, uploaded(FIRST))
    await code_collection.reconcile(code, context, code_collection.KEY)
    assert store.archives == {FIRST}


@pytest.mark.parametrize(
    ("watch", "naming"),
    [
        (WATCHED_FUNCTIONS, uploaded),
        (WATCHED_FUNCTIONS, partial(deployed, "code")),
        (WATCHED_FUNCTIONS, partial(deployed, "layers")),
        (WATCHED_VERSIONS, partial(deployed, "code")),
        (WATCHED_VERSIONS, partial(deployed, "layers")),
        (WATCHED_LAYER_VERSIONS, published),
    ],
)
async def test_what_is_named_while_others_are_collected_stays(
    watch: Watch[Any], naming: Callable[[str], dict[str, Any]]
) -> None:
    """Of two that were due the one that goes first takes time, in which somebody names the other one."""
    store = Store(FIRST, SECOND)
    code, context = prepared(store)

    async def name_the_other() -> None:
        if store.archives != {FIRST, SECOND}:
            await changes.observe(context, watch, naming(*store.archives))

    store.meanwhile = name_the_other
    await code_collection.reconcile(code, context, code_collection.KEY)
    assert len(store.archives) == 1


async def test_what_somebody_looks_for_while_others_are_collected_stays() -> None:
    """Who found it there is about to name it."""
    store = Store(FIRST, SECOND)
    code, context = prepared(store)

    async def look_for_the_other() -> None:
        if store.archives != {FIRST, SECOND}:
            code.unreferenced.clear()

    store.meanwhile = look_for_the_other
    await code_collection.reconcile(code, context, code_collection.KEY)
    assert len(store.archives) == 1


@pytest.mark.parametrize("deployed", [None, DeployedCode(sha256=SECOND, size=1)])
async def test_uploaded_code_that_is_found_is_not_collected_before_it_is_deployed(
    deployed: DeployedCode | None,
) -> None:
    """A deletion that is under way finds that it is used."""
    store = Store(FIRST)
    code, context = prepared(store)
    spec = Code.model_validate(uploaded(FIRST)["spec"]["code"])
    found = await code_source.resolve(code, context, KEY, spec, inline_file_name=None, deployed=deployed)
    assert found == DeployedCode(sha256=FIRST, size=1)
    assert store.archives == {FIRST}


async def test_uploaded_code_that_is_gone_is_missed() -> None:
    """Nobody has it but the store."""
    code, context = prepared(Store())
    spec = Code.model_validate(uploaded(FIRST)["spec"]["code"])
    found = await code_source.resolve(code, context, KEY, spec, inline_file_name=None, deployed=None)
    assert isinstance(found, Problem)
