"""What operators decide about asynchronous invocation."""
