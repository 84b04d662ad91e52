"""Asynchronous invocation: when an event is tried again, when it is given up, and what its destinations are told."""
