"""Brings code into the code store, and out of it."""
