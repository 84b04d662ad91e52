"""What is said of Subnets and SecurityGroups: who holds one that is to go, and which rules cannot hold: pure."""

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from ipaddress import ip_network

from kubelambda.api.conditions import Condition, Fact, conditions_of, merge
from kubelambda.api.kinds.security_group import Peer, SecurityGroupSpec
from kubelambda.api.reasons import Reason

_PREFIX_MAX_CHARS = 253
_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def part_conditions(
    before: Sequence[Condition],
    users: Sequence[str],
    *,
    terminating: bool,
    unmatched: Sequence[str] = (),
    unusable: Sequence[str] = (),
    now: datetime,
) -> list[Condition]:
    """What to say of one that `users` have, whose rules name blocks of addresses that are `unmatched`.

    `unusable` are labels of its rules that no policy can have.
    """
    told: list[Fact] = []
    if unusable:
        told.append(("RulesInForce", "False", Reason.INVALID_SECURITY_GROUP, unusable_text(unusable)))
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
    blocks = {peer.cidr for peer in _peers(spec) if peer.cidr is not None}
    return sorted(block for block in blocks if family(block) not in families)


def unusable_labels(spec: SecurityGroupSpec) -> list[str]:
    """Labels in selectors of rules that are none for Kubernetes, which refuses every policy that has them."""
    selectors = [
        each for peer in _peers(spec) for each in (peer.pod_selector, peer.namespace_selector) if each is not None
    ]
    pairs = {pair for selector in selectors for pair in selector.items()}
    return sorted(f"{key}={value}" for key, value in pairs if not (_is_key(key) and _is_value(value)))


def unusable_text(unusable: Sequence[str]) -> str:
    """What labels that are none do to the rules that they are in."""
    found = ", ".join(repr(each) for each in unusable)
    return f"no NetworkPolicy can have the labels {found}: the rules that were in force before stay, if there were any"


def _peers(spec: SecurityGroupSpec) -> list[Peer]:
    return [peer for rule in spec.egress for peer in rule.to] + [peer for rule in spec.ingress for peer in rule.from_]


def _is_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > _PREFIX_MAX_CHARS or not _PREFIX.fullmatch(prefix)):
        return False
    return _LABEL.fullmatch(name) is not None


def _is_value(value: str) -> bool:
    return not value or _LABEL.fullmatch(value) is not None


def families_of(blocks: Iterable[str]) -> frozenset[int]:
    """Families of the blocks that pods get their addresses from."""
    return frozenset(family(block) for block in blocks)


def family(block: str) -> int:
    """4 or 6. Raises `ValueError` for what is no block of addresses."""
    return ip_network(block, strict=False).version
