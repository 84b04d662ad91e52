"""What all unit tests share."""

from hypothesis import settings

# A machine that does something else at the same time is slow for a moment; that is no fault of what is tried.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
