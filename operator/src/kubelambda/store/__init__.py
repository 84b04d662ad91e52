"""Code store and, later, event queue, checkpoints and logs."""
