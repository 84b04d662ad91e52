"""What is said of Subnets and SecurityGroups: who holds one that is to go, and which rules match nothing: pure."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from ipaddress import ip_network

from kubelambda.api.conditions import Condition, Fact, conditions_of, merge
from kubelambda.api.kinds.security_group import SecurityGroupSpec
from kubelambda.api.reasons import Reason


def part_conditions(
    before: Sequence[Condition],
    users: Sequence[str],
    *,
    terminating: bool,
    unmatched: Sequence[str] = (),
    now: datetime,
) -> list[Condition]:
    """What to say of one that `users` have, and whose rules name blocks of addresses that are `unmatched`."""
    told: list[Fact] = []
    if terminating and users:
        text = f"in use by {', '.join(users)}: it goes when they name it no more, and holds until then"
        told.append(("DeletionRefused", "True", Reason.IN_USE, text))
    if unmatched:
        text = f"nothing matches {', '.join(unmatched)}: pods of this cluster have no addresses of that family"
        told.append(("AddressesKnown", "False", Reason.NO_SUCH_ADDRESSES, text))
    return merge(before, conditions_of(told, now)) if told else []


def unmatched_blocks(spec: SecurityGroupSpec, families: Collection[int]) -> list[str]:
    """Blocks of a family, 4 or 6, that pods have no addresses of; none while nobody knows which they have."""
    if not families:
        return []
    peers = [peer for rule in spec.egress for peer in rule.to] + [peer for rule in spec.ingress for peer in rule.from_]
    blocks = {peer.cidr for peer in peers if peer.cidr is not None}
    return sorted(block for block in blocks if family(block) not in families)


def families_of(blocks: Iterable[str]) -> frozenset[int]:
    """Families of the blocks that pods get their addresses from."""
    return frozenset(family(block) for block in blocks)


def family(block: str) -> int:
    """4 or 6. Raises `ValueError` for what is no block of addresses."""
    return ip_network(block, strict=False).version
