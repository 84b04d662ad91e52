"""Composition roots: wiring, no logic."""
