"""Reconciles event source mappings."""
