"""Reconciles namespaces: a namespace is an account."""
