"""Sums of what an account uses, from changes alone."""

import random
from typing import Any, cast

from kubelambda.awsapi.account.account_use import AccountTotal, AccountUse, function_use
from kubelambda.kube.kube_client import KubeClient


def function(
    name: str, version: int, *, size: int = 0, reserved: int | None = None, inline: str = ""
) -> dict[str, Any]:
    """A Function object."""
    return {
        "metadata": {"namespace": "n", "name": name, "resourceVersion": str(version)},
        "spec": {"code": {"inline": inline}, "reservedConcurrentExecutions": reserved},
        "status": {"codeSize": size},
    }


async def test_sums_are_those_of_what_is_there() -> None:
    """After any history of changes, additions and deletions."""
    use = AccountUse(cast("KubeClient", None))
    there: dict[str, dict[str, Any]] = {}
    random.seed(5)
    for step in range(500):
        name = f"f{random.randrange(20)}"
        body = function(name, step, size=random.randrange(100), reserved=random.choice([None, 0, 7]))
        gone = random.random() < 0.3
        use.functions._observe(body, deleted=gone)
        if gone:
            there.pop(name, None)
        else:
            there[name] = body
    for each in (use.functions, use.versions, use.layers):
        each.synced.set()
    views = [function_use(body) for body in there.values()]
    assert await use.total("n") == AccountTotal(
        functions=len(views), code_size=sum(v.code_size for v in views), reserved=sum(v.reserved for v in views)
    )
    assert await use.total("other") == AccountTotal()


async def test_one_heavy_function_is_known() -> None:
    """So that lists are read in smaller groups while it is there, and before anything was seen."""
    use = AccountUse(cast("KubeClient", None))
    assert use.has_heavy("n")
    use.functions.synced.set()
    assert not use.has_heavy("n")
    body = function("f", 1, inline="x" * 100_000)
    use.functions._observe(body, deleted=False)
    assert use.has_heavy("n")
    use.functions._observe(body, deleted=True)
    assert not use.has_heavy("n")
