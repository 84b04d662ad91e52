"""Provisioned concurrency that follows its utilization: readers of metrics, and the loop that acts on them."""
