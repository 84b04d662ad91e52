"""The slots of all mappings of queues that this poller works: what each wants, and what it may have."""

from kubelambda.core.mapping.slot_shares import SlotLimits, slot_shares


class SlotLedger:
    """Of one poller. Mappings say anew what they want every few seconds; what they may have is then another."""

    def __init__(self, limits: SlotLimits | None = None) -> None:
        self.limits = limits or SlotLimits()
        self._wanted: dict[str, dict[str, int]] = {}
        self._shares: dict[str, dict[str, int]] | None = None

    def granted(self, account: str, mapping: str, wanted: int) -> int:
        """How many slots a mapping may have now that it wants so many."""
        mappings = self._wanted.setdefault(account, {})
        if mappings.get(mapping) != wanted:
            mappings[mapping] = wanted
            self._shares = None
        if self._shares is None:
            self._shares = slot_shares(self._wanted, self.limits)
        return self._shares[account][mapping]

    def ended(self, account: str, mapping: str) -> None:
        """A mapping has no slots any more."""
        mappings = self._wanted.get(account, {})
        mappings.pop(mapping, None)
        if not mappings:
            self._wanted.pop(account, None)
        self._shares = None
