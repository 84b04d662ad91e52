"""The `kubelambda` command."""
