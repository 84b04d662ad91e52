"""The queue of asynchronous invocations: accepts events, tries them, tells their destinations."""
