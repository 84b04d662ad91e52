"""Reconciles a Runtime: counts what uses it, and says whether its pools can start."""

from collections.abc import Iterable
from datetime import UTC, datetime

from kubelambda.api.kinds.runtime import RuntimeStatus
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS, FunctionFacts
from kubelambda.controllers.machinery import changes, recorder
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.object_status import apply_status, read_status
from kubelambda.controllers.machinery.work_queue import Key, Outcome
from kubelambda.controllers.pool.pool_facts import WATCHED_POOLS, PoolDeploymentFacts
from kubelambda.controllers.pool.runtime_facts import WATCHED_RUNTIMES, RuntimeFacts
from kubelambda.core.pool.runtime_status import decide
from kubelambda.kube.resources import RUNTIMES

KIND = "Runtime"
COUNT_DELAY_S = 2.0
"""Counts in the status of a Runtime may lag: many changes, one write."""


async def reconcile(context: Context, key: Key) -> Outcome:
    """The Runtime `key.name`."""
    body = await context.client.find(RUNTIMES, key.name)
    if body is None:
        changes.forget(context, WATCHED_RUNTIMES, "", key.name, by=key)
        return None
    await changes.observe(context, WATCHED_RUNTIMES, body, by=key)
    before = read_status(RuntimeStatus, body)
    cluster = context.cluster
    status = decide(
        name=key.name,
        generation=body["metadata"]["generation"],
        before=before,
        functions=sum(facts.runtime == key.name for _, facts in cluster[WATCHED_FUNCTIONS]),
        pools=[facts.pool for _, facts in cluster[WATCHED_POOLS] if facts.pool_id == key.name],
        now=datetime.now(UTC),
    )
    if status != before:
        await apply_status(context, RUNTIMES, body, status)
        await recorder.record_transition(context.client, RUNTIMES, body, before.conditions, status.conditions)
    return None


def _itself(change: Change[RuntimeFacts]) -> Iterable[Key]:
    yield Key(KIND, "", change.name)


def _counted(change: Change[FunctionFacts]) -> Iterable[Key]:
    """The runtimes that it used and uses, when that is another."""
    used = {facts.runtime for facts in change.either}
    if change.before is None or change.after is None or len(used) > 1:
        for runtime in used:
            if runtime:
                yield Key(KIND, "", runtime)


def _of_pool(change: Change[PoolDeploymentFacts]) -> Iterable[Key]:
    yield Key(KIND, "", change.either[0].runtime)


CONTROLLER = Controller(
    KIND,
    reconcile,
    follows=(
        Follow(WATCHED_RUNTIMES, _itself, resync=True),
        Follow(WATCHED_FUNCTIONS, _counted, delay=COUNT_DELAY_S),
        Follow(WATCHED_POOLS, _of_pool, delay=COUNT_DELAY_S),
    ),
)
