"""Event source mappings at work: records are read from sources, functions invoked with them, and then they are done."""
