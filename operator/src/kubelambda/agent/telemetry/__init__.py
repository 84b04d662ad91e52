"""What extensions hear of their environment: events as they happen, and their way to those who subscribed."""
