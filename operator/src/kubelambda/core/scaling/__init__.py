"""How much provisioned concurrency an alias gets: target tracking and schedules."""
