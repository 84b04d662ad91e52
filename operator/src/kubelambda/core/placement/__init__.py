"""Which environment runs which invocation, and whether ledger and agents agree."""
