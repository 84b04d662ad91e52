"""What an execution environment is made of, who may speak to it, and whose it is."""
