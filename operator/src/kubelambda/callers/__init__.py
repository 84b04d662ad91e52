"""Who calls: access keys, bearer tokens, what Kubernetes allows, and one line of audit a call."""
