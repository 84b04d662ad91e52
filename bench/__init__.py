"""Measures the budgets side by side with a baseline in the same run; prints a table and writes `results/latest.json`."""
