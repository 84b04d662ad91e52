"""Archives of code: made, checked, and never trusted before that."""
