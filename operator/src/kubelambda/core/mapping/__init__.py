"""Event source mappings: which records a function gets, in which batches, and what becomes of them after its answer."""
