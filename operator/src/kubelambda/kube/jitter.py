"""Pauses of different lengths: what waits in many places does not come all at once."""

import random


def spread(seconds: float) -> float:
    """The pause, a fifth longer or shorter."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, keeps no secret
