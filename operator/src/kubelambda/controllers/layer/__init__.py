"""Reconciles layers and their versions."""
