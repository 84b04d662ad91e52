"""Reconciles access points."""
