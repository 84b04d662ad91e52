"""The status, the revision and the versions of a function."""
