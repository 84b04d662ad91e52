"""InvokeEndpoints: what a frontend serves at ports of their own, and to whom."""
