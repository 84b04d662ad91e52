"""An alias that moves under load, again and again, while what moves or serves it is killed and replaced (§5.7)."""

import pytest

from installation.account import Account
from installation.kubectl import eventually, kubectl, kubectl_json
from installation.load import Load
from installation.published import alias, provisioned, publish, status
from installation.release import RELEASE, SYSTEM_NAMESPACE, platform_pods, rolled_out

MOVES = 10


@pytest.fixture(scope="module")
def moving(account: Account) -> str:
    """A function with two versions, and an alias of the first one with an environment for each of two callers."""
    publish(account, "moving", 1)
    publish(account, "moving", 2)
    alias(account, "moving", 1, provisioned=2)
    eventually(lambda: provisioned(account, "moving").get("status") == "READY", timeout=180)
    return "moving"


def arrived(account: Account, name: str, version: int) -> None:
    """Returns once callers get a version, from environments that are there for it."""

    def there() -> bool:
        found = status(account, name)
        return found.get("routedVersion") == str(version) and found["provisionedConcurrency"]["status"] == "READY"

    eventually(there, timeout=180)


def check(load: Load) -> None:
    """Nobody got an error, and nobody an environment that was started for the call."""
    assert not load.failed, load.summary()
    kinds = {outcome.payload["kind"] for outcome in load.outcomes}
    assert kinds == {"provisioned-concurrency"}, f"callers saw cold starts: {load.summary()}"


@pytest.mark.timeout(600)
def test_moves_under_load_are_made_before_they_break(account: Account, moving: str) -> None:
    """No error, no cold start that a caller sees; the environments of the version that was left end afterwards."""
    with Load(account, f"{moving}:live", callers=2, pause=0.05) as load:
        for number in range(MOVES):
            version = 2 - number % 2
            alias(account, moving, version, provisioned=2)
            arrived(account, moving, version)
            seen = len(load.outcomes)
            eventually(lambda seen=seen: len(load.outcomes) > seen + 4)  # type: ignore[misc]
    check(load)
    assert {outcome.payload["version"] for outcome in load.outcomes} == {"1", "2"}
    slowest = max(outcome.seconds for outcome in load.outcomes)
    print(f"{MOVES} moves, {len(load.outcomes)} invocations, 0 errors, 0 cold starts, the slowest {slowest:.2f} s")

    def left() -> bool:
        pods = account.environments(moving)
        found = [pod["metadata"]["labels"] for pod in pods if "kubelambda.dev/provisioned" in pod["metadata"]["labels"]]
        return {labels["kubelambda.dev/version"] for labels in found} == {"1"} and len(found) == 2

    eventually(left, timeout=120)


def kill_the_leader() -> None:
    """Ends the operator that leads, without a word to anybody."""

    def leader() -> str | None:
        lease = kubectl_json("--namespace", SYSTEM_NAMESPACE, "get", "lease", f"{RELEASE}-operator")
        pod = lease["spec"].get("holderIdentity", "").rpartition("_")[0]
        return pod if pod in platform_pods("operator") else None

    holder = eventually(leader)
    assert holder is not None
    kubectl("--namespace", SYSTEM_NAMESPACE, "delete", "pod", holder, "--grace-period=0", "--force")


@pytest.mark.exclusive
def test_moves_go_on_while_operators_are_killed_and_frontends_replaced(account: Account, moving: str) -> None:
    """In the middle of a move each: nobody gets an error, and all are on provisioned environments again afterwards."""
    arrived(account, moving, int(status(account, moving)["routedVersion"]))
    with Load(account, f"{moving}:live", callers=2, pause=0.05) as load:
        alias(account, moving, 2, provisioned=2)
        kill_the_leader()
        arrived(account, moving, 2)
        kubectl("--namespace", SYSTEM_NAMESPACE, "rollout", "restart", f"deployment/{RELEASE}-frontend")
        alias(account, moving, 1, provisioned=2)
        arrived(account, moving, 1)
        rolled_out("deployment", "frontend")
        seen = len(load.outcomes)

        def back() -> bool:
            """The frontend that has just begun may still be asking the environments who they are."""
            last = [outcome.payload for outcome in load.outcomes[seen:] if outcome.payload is not None][-5:]
            kinds = {(payload["version"], payload["kind"]) for payload in last}
            assert kinds == {("1", "provisioned-concurrency")}, kinds
            return len(load.outcomes) > seen + 20

        eventually(back)
    assert not load.failed, load.summary()
