"""What runs in a Python runtime process around the official client, whether it was started in advance or not."""
