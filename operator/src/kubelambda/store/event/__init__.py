"""Queues of asynchronous events: one interface, one engine a file."""
