"""Reconciles Runtimes and their warm pools."""
