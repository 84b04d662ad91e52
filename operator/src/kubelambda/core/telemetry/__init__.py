"""What extensions hear of their environment: who subscribed to what, events as each one reads them, and batches."""
