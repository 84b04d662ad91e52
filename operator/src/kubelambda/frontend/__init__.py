"""The data plane: Invoke API, placement and everything between a caller and an execution environment."""
