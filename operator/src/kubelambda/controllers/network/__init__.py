"""Reconciles the networks of functions with a vpcConfig."""
