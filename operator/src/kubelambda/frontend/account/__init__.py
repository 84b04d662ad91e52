"""What the owner of an account does: forwarding, adoption, the ledger's check, strays, the size of pools."""
