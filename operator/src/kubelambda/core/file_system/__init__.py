"""Access points of shared volumes."""
