"""From a request to an invocation: what callers send, checked and understood."""
