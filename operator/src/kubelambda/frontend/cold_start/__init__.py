"""From nothing to an environment that waits for its first invocation."""
