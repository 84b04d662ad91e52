"""How much each mapping may have of what a poller has not enough of for all: pure.

That is slots of queues (batches that may be at the function, or long polls) and bytes that brokers send unasked.
Accounts share those of a poller fairly, and the mappings of an account what that has: whoever wants little gets it,
those who want more get equal parts of the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from kubelambda.core.mapping.sqs_scaling import SLOTS_MAX


@dataclass(frozen=True, slots=True)
class ShareLimits:
    """What one poller has: of slots, if nothing else is said."""

    account: int = SLOTS_MAX
    """For one account: what one mapping may have alone."""
    all_accounts: int = 2 * SLOTS_MAX


def mapping_shares(wanted: Mapping[str, Mapping[str, int]], limits: ShareLimits) -> dict[str, dict[str, int]]:
    """What mappings may have, by account and mapping, out of what they want."""
    sums = {account: min(limits.account, sum(mappings.values())) for account, mappings in wanted.items()}
    of_account = fair_shares(sums, limits.all_accounts)
    return {account: fair_shares(mappings, of_account[account]) for account, mappings in wanted.items()}


def fair_shares(wanted: Mapping[str, int], most: int) -> dict[str, int]:
    """Parts of `most`, none larger than what is wanted; each wanter gets one at least, whatever that adds up to."""
    left, shares = most, dict[str, int]()
    by_size = sorted(wanted, key=lambda each: (wanted[each], each))
    for number, each in enumerate(by_size):
        shares[each] = min(wanted[each], max(1, left // (len(by_size) - number)))
        left -= shares[each]
    return shares
