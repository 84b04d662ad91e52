"""What every reconciler stands on: queue, watches, resync, the cluster as known, recorder, health."""
