"""Resource policies: who else may invoke a function."""
