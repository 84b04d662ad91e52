"""Application Auto Scaling for provisioned concurrency: targets, policies, schedules and activities of aliases."""
