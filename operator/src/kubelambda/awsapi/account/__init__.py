"""Which namespace is which account, and what it may use."""
