"""What the mappings that this poller works want of something, and what they may have: slots of queues, or bytes."""

from kubelambda.core.mapping.fair_shares import ShareLimits, mapping_shares


class ShareLedger:
    """Of one poller. Mappings say anew what they want every few seconds; what they may have is then another."""

    def __init__(self, limits: ShareLimits | None = None) -> None:
        self.limits = limits or ShareLimits()
        self._wanted: dict[str, dict[str, int]] = {}
        self._shares: dict[str, dict[str, int]] | None = None

    def granted(self, account: str, mapping: str, wanted: int) -> int:
        """How much a mapping may have now that it wants so much."""
        mappings = self._wanted.setdefault(account, {})
        if mappings.get(mapping) != wanted:
            mappings[mapping] = wanted
            self._shares = None
        if self._shares is None:
            self._shares = mapping_shares(self._wanted, self.limits)
        return self._shares[account][mapping]

    def ended(self, account: str, mapping: str) -> None:
        """A mapping has nothing any more."""
        mappings = self._wanted.get(account, {})
        mappings.pop(mapping, None)
        if not mappings:
            self._wanted.pop(account, None)
        self._shares = None
