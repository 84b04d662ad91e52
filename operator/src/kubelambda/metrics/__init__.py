"""What a process counts, and how Prometheus reads it."""
