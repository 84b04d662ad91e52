"""Lambda's errors, and which version a qualifier means."""
