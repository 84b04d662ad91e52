"""How provisioned concurrency follows a load on the real cluster, beside what does not follow it."""
