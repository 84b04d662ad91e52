"""The control API outside, the Runtime API inside."""
