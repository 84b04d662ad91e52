"""Schemas of records: asked of a registry, and records read by them."""
