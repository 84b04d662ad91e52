"""The sources of mappings, each with the client library of its field."""
