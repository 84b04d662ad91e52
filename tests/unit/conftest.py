"""What all unit tests share."""

from hypothesis import HealthCheck, settings

# A machine that does something else at the same time is slow for a moment; that is no fault of what is tried.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
