"""The pools that a Function's environments come from, as far as they cannot give it any."""

from collections.abc import Iterable

from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.controllers.pool.pool_facts import WATCHED_POOLS, PoolDeploymentFacts
from kubelambda.core.pool.runtime_status import PoolFailure


def pool_failure(context: Context, key: Key) -> PoolFailure | None:
    """Why one of its pools does not fill."""
    facts = context.cluster[WATCHED_FUNCTIONS].get(key.namespace, key.name)
    found = {pool.pool_id: pool for _, pool in context.cluster[WATCHED_POOLS].within(key.namespace)}
    failures = (_failure(found.get(pool.id)) for pool in (facts.pools if facts else ()))
    return next((failure for failure in failures if failure is not None), None)


def _failure(pool: PoolDeploymentFacts | None) -> PoolFailure | None:
    return pool.pool.failure(pool.runtime) if pool is not None else None


def users_of_pool(change: Change[PoolDeploymentFacts]) -> Iterable[Key]:
    """Functions whose environments come from it, when that is another matter than before."""
    if _failure(change.before) == _failure(change.after):
        return
    pool_id = change.either[0].pool_id
    for name, facts in change.cluster[WATCHED_FUNCTIONS].within(change.namespace):
        if any(pool.id == pool_id for pool in facts.pools):
            yield Key("Function", change.namespace, name)
