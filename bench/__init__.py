"""Measures the budgets beside a baseline in the same run; prints a table and writes `results/latest.json`."""
