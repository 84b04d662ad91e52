"""The code store: archives by digest."""
