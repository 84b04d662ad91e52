"""One function's invocations on its environments."""
