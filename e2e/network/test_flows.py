"""Every flow of the table with real packets, before and after a change of rules, and the document that tells of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from installation.account import Account
from installation.kubectl import eventually
from network.flow_peers import Peers, flow_peers
from network.flow_table import Flow, changed_groups, flows, subnet, table

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "network-flows.md"


@pytest.fixture(scope="module")
def peers(account: Account, other_account: Account) -> Iterator[Peers]:
    """The functions and pods, and the rules as they are at first."""
    with flow_peers(account, other_account) as found:
        yield found


def as_told(peers: Peers, wanted: list[Flow], verdict: Callable[[Flow], str]) -> bool:
    """Whether each flow becomes what it is to become; those that do not, when there are some."""
    found = peers.tried(wanted)
    wrong = {flow.name: found[flow.name] for flow in wanted if found[flow.name] != verdict(flow)}
    assert not wrong
    return True


def test_every_flow_passes_or_not_as_the_rules_say_before_and_after_their_change(peers: Peers) -> None:
    """From six functions and five pods to what there is in a cluster; no environment is made anew for it."""
    wanted = [flow for flow in flows() if flow.target in peers.addresses]
    assert len(wanted) >= 60
    assert eventually(lambda: as_told(peers, wanted, lambda flow: flow.before), timeout=240)
    before = {name: peers.account.environment(name)["metadata"]["uid"] for name in ("app", "left")}
    for group in changed_groups():
        peers.account.apply(group)
    peers.account.apply(subnet("outside", internet=False))
    assert eventually(lambda: as_told(peers, wanted, lambda flow: flow.after), timeout=240)
    after = {name: peers.account.environment(name)["metadata"]["uid"] for name in before}
    assert after == before


def test_the_document_has_the_table_that_is_tried() -> None:
    """`make network-flows` writes it."""
    assert table(flows()) in DOCUMENT.read_text()
