"""Event source mappings on the real cluster."""
