"""One custom resource a file: spec as people write it, status as the operator reports it."""
