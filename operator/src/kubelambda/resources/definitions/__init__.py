"""CustomResourceDefinitions, one kind a file, generated from the models of `api.kinds`."""
