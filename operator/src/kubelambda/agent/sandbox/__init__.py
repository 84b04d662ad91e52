"""The life of one environment."""
