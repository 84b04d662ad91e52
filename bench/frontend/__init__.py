"""The frontend's own throughput: one core, stub environments in the place of agents."""
