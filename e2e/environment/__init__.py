"""Execution environments on the real cluster: runtimes, processes, layers, images."""
