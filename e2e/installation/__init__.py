"""The installation under test: kubectl, the release, accounts in it, and load on it."""
