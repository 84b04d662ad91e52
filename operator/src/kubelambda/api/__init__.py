"""The words of the domain: models of every custom resource, labels, limits, errors. Imports nothing of ours.

Kept free of imports on purpose: the agent uses `api.limits` and must not pay for pydantic.
"""
