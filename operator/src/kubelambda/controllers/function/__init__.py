"""Reconciles Functions."""
